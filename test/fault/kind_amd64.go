package fault

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// older are calls that newer architectures do not have.
func older() map[int]kind {
	return map[int]kind{
		unix.SYS_RENAME: {name: "rename", fd: -1, path: 1}, unix.SYS_RENAMEAT: {name: "renameat", fd: 2, path: 3},
		unix.SYS_LINK: {name: "link", fd: -1, path: 1}, unix.SYS_SYMLINK: {name: "symlink", fd: -1, path: 1},
		unix.SYS_UNLINK: {name: "unlink", fd: -1, path: 0}, unix.SYS_RMDIR: {name: "rmdir", fd: -1, path: 0}, unix.SYS_MKDIR: {name: "mkdir", fd: -1, path: 0},
		unix.SYS_MKNOD: {name: "mknod", fd: -1, path: 0}, unix.SYS_CHMOD: {name: "chmod", fd: -1, path: 0}, unix.SYS_CHOWN: {name: "chown", fd: -1, path: 0},
		unix.SYS_LCHOWN: {name: "lchown", fd: -1, path: 0}, unix.SYS_CREAT: {name: "creat", fd: -1, path: 0},
	}
}
