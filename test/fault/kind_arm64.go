package fault

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// older are calls that newer architectures do not have.
func older() map[int]kind {
	return map[int]kind{unix.SYS_RENAMEAT: {name: "renameat", fd: 2, path: 3}}
}
