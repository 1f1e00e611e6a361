#include "textflag.h"

// Eight messages at a time, one in each 64-bit lane. Z0 to Z7 are the working
// variables a to h, Z8 to Z23 the last 16 words of the message schedule.

// Byte orders are swapped in each word.
DATA swap<>+0(SB)/8, $0x0001020304050607
DATA swap<>+8(SB)/8, $0x08090a0b0c0d0e0f
GLOBL swap<>(SB), RODATA|NOPTR, $16

// LOAD gathers word i of the block from each message.
#define LOAD(i, w) \
	KXNORW K1, K1, K1; \
	VPGATHERQQ (8*i)(SI)(Z31*1), K1, w; \
	VPSHUFB Z30, w, w

// ROUND is a round of FIPS 180-4, 6.4.2 step 3; the sum of h and the round's
// constant and word becomes h, so the caller renames the variables instead of
// moving them.
#define ROUND(i, a, b, c, d, e, f, g, h, w) \
	VPADDQ.BCST (8*i)(R8), w, Z24; \
	VPRORQ $14, e, Z25; \
	VPRORQ $18, e, Z26; \
	VPRORQ $41, e, Z27; \
	VMOVDQA64 e, Z28; \
	VPADDQ Z24, h, h; \
	VPTERNLOGQ $0x96, Z26, Z27, Z25; \
	VPTERNLOGQ $0xca, g, f, Z28; \
	VPADDQ Z25, h, h; \
	VPRORQ $28, a, Z25; \
	VPRORQ $34, a, Z26; \
	VPRORQ $39, a, Z27; \
	VPADDQ Z28, h, h; \
	VMOVDQA64 a, Z29; \
	VPTERNLOGQ $0x96, Z26, Z27, Z25; \
	VPADDQ h, d, d; \
	VPTERNLOGQ $0xe8, c, b, Z29; \
	VPADDQ Z25, h, h; \
	VPADDQ Z29, h, h

// NEXT puts the word of 16 rounds later in the place of w; w1, w9 and w14 are
// those of 1, 9 and 14 rounds later.
#define NEXT(w, w1, w9, w14) \
	VPRORQ $1, w1, Z24; \
	VPRORQ $8, w1, Z25; \
	VPSRLQ $7, w1, Z26; \
	VPADDQ w9, w, w; \
	VPTERNLOGQ $0x96, Z25, Z26, Z24; \
	VPRORQ $19, w14, Z27; \
	VPRORQ $61, w14, Z28; \
	VPSRLQ $6, w14, Z29; \
	VPADDQ Z24, w, w; \
	VPTERNLOGQ $0x96, Z28, Z29, Z27; \
	VPADDQ Z27, w, w

#define UPDATE(i, v) \
	VPADDQ (64*i)(DI), v, v; \
	VMOVDQU64 v, (64*i)(DI)

// func blocks8(state *[8][8]uint64, p *byte, offsets *[8]uint64, blocks int, k *[80]uint64)
TEXT ·blocks8(SB), NOSPLIT, $0-40
	MOVQ state+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ offsets+16(FP), DX
	MOVQ blocks+24(FP), CX
	MOVQ k+32(FP), R9
	VMOVDQU64 (DX), Z31
	VBROADCASTI32X4 swap<>(SB), Z30
	VMOVDQU64 0(DI), Z0
	VMOVDQU64 64(DI), Z1
	VMOVDQU64 128(DI), Z2
	VMOVDQU64 192(DI), Z3
	VMOVDQU64 256(DI), Z4
	VMOVDQU64 320(DI), Z5
	VMOVDQU64 384(DI), Z6
	VMOVDQU64 448(DI), Z7

block:
	LOAD(0, Z8)
	LOAD(1, Z9)
	LOAD(2, Z10)
	LOAD(3, Z11)
	LOAD(4, Z12)
	LOAD(5, Z13)
	LOAD(6, Z14)
	LOAD(7, Z15)
	LOAD(8, Z16)
	LOAD(9, Z17)
	LOAD(10, Z18)
	LOAD(11, Z19)
	LOAD(12, Z20)
	LOAD(13, Z21)
	LOAD(14, Z22)
	LOAD(15, Z23)
	MOVQ R9, R8
	MOVQ $4, R10

rounds:
	ROUND(0, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8)
	NEXT(Z8, Z9, Z17, Z22)
	ROUND(1, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z9)
	NEXT(Z9, Z10, Z18, Z23)
	ROUND(2, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z10)
	NEXT(Z10, Z11, Z19, Z8)
	ROUND(3, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z11)
	NEXT(Z11, Z12, Z20, Z9)
	ROUND(4, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z12)
	NEXT(Z12, Z13, Z21, Z10)
	ROUND(5, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z13)
	NEXT(Z13, Z14, Z22, Z11)
	ROUND(6, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z14)
	NEXT(Z14, Z15, Z23, Z12)
	ROUND(7, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z15)
	NEXT(Z15, Z16, Z8, Z13)
	ROUND(8, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z16)
	NEXT(Z16, Z17, Z9, Z14)
	ROUND(9, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z17)
	NEXT(Z17, Z18, Z10, Z15)
	ROUND(10, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z18)
	NEXT(Z18, Z19, Z11, Z16)
	ROUND(11, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z19)
	NEXT(Z19, Z20, Z12, Z17)
	ROUND(12, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z20)
	NEXT(Z20, Z21, Z13, Z18)
	ROUND(13, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z21)
	NEXT(Z21, Z22, Z14, Z19)
	ROUND(14, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z22)
	NEXT(Z22, Z23, Z15, Z20)
	ROUND(15, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z23)
	NEXT(Z23, Z8, Z16, Z21)
	ADDQ $128, R8
	DECQ R10
	JNZ rounds

	ROUND(0, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8)
	ROUND(1, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z9)
	ROUND(2, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z10)
	ROUND(3, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z11)
	ROUND(4, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z12)
	ROUND(5, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z13)
	ROUND(6, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z14)
	ROUND(7, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z15)
	ROUND(8, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z16)
	ROUND(9, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z17)
	ROUND(10, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z5, Z18)
	ROUND(11, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z4, Z19)
	ROUND(12, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z3, Z20)
	ROUND(13, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z2, Z21)
	ROUND(14, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z1, Z22)
	ROUND(15, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z0, Z23)

	UPDATE(0, Z0)
	UPDATE(1, Z1)
	UPDATE(2, Z2)
	UPDATE(3, Z3)
	UPDATE(4, Z4)
	UPDATE(5, Z5)
	UPDATE(6, Z6)
	UPDATE(7, Z7)
	ADDQ $128, SI
	DECQ CX
	JNZ block
	VZEROUPPER
	RET
