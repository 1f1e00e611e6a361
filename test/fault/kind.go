package fault

import (
	"golang.org/x/sys/unix"
)

// A kind is a system call that is watched, with the places of its arguments;
// -1: it has none.
type kind struct {
	name     string
	fd, path int  // a directory or file, and a path from there
	flags    int  // of openat: only if they make or cut a file
	request  int  // of ioctl: only some
	flush    bool // see Call
}

// kinds are the calls that write. Those that no program of ours makes are left
// out, such as writes by way of memory that is mapped.
func kinds() map[int]kind {
	at := func(name string, fd, path int) kind {
		return kind{name: name, fd: fd, path: path, flags: -1, request: -1}
	}
	of := func(name string, fd int) kind { return at(name, fd, -1) }
	flush := func(name string) kind { k := of(name, 0); k.flush = true; return k }
	open := at("openat", 0, 1)
	open.flags = 2
	ioctl := of("ioctl", 0)
	ioctl.request = 1
	all := map[int]kind{
		unix.SYS_OPENAT: open, unix.SYS_IOCTL: ioctl,
		unix.SYS_WRITE: of("write", 0), unix.SYS_PWRITE64: of("pwrite64", 0), unix.SYS_WRITEV: of("writev", 0), unix.SYS_PWRITEV: of("pwritev", 0),
		unix.SYS_COPY_FILE_RANGE: of("copy_file_range", 2), unix.SYS_SENDFILE: of("sendfile", 0), unix.SYS_SPLICE: of("splice", 2),
		unix.SYS_FTRUNCATE: of("ftruncate", 0), unix.SYS_FALLOCATE: of("fallocate", 0),
		unix.SYS_FCHMOD: of("fchmod", 0), unix.SYS_FCHOWN: of("fchown", 0), unix.SYS_FCHMODAT: at("fchmodat", 0, 1), unix.SYS_FCHOWNAT: at("fchownat", 0, 1),
		unix.SYS_UTIMENSAT: at("utimensat", 0, 1), unix.SYS_MKDIRAT: at("mkdirat", 0, 1), unix.SYS_MKNODAT: at("mknodat", 0, 1),
		unix.SYS_UNLINKAT: at("unlinkat", 0, 1), unix.SYS_SYMLINKAT: at("symlinkat", 1, 2), unix.SYS_LINKAT: at("linkat", 2, 3),
		unix.SYS_RENAMEAT2: at("renameat2", 2, 3),
		unix.SYS_SETXATTR:  at("setxattr", -1, 0), unix.SYS_LSETXATTR: at("lsetxattr", -1, 0), unix.SYS_FSETXATTR: of("fsetxattr", 0),
		unix.SYS_REMOVEXATTR: at("removexattr", -1, 0), unix.SYS_LREMOVEXATTR: at("lremovexattr", -1, 0), unix.SYS_FREMOVEXATTR: of("fremovexattr", 0),
		unix.SYS_TRUNCATE: at("truncate", -1, 0),
		unix.SYS_FSYNC:    flush("fsync"), unix.SYS_FDATASYNC: flush("fdatasync"), unix.SYS_SYNCFS: flush("syncfs"), unix.SYS_SYNC_FILE_RANGE: flush("sync_file_range"),
	}
	for nr, name := range older() {
		all[nr] = at(name.name, name.fd, name.path)
	}
	return all
}

// requests are the ioctls that write: FS_IOC_ENABLE_VERITY, FICLONE and FICLONERANGE
// of linux/fsverity.h and linux/fs.h.
func requests() []uint32 { return []uint32{0x40806685, unix.FICLONE, unix.FICLONERANGE} }

// openFlags make or cut a file.
const openFlags = unix.O_CREAT | unix.O_TRUNC | unix.O_TMPFILE&^unix.O_DIRECTORY

// The offsets of struct seccomp_data, for little-endian machines.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// filter is the program that asks for a verdict on the calls of kinds. Calls of
// another architecture end the process.
func filter() []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	jump := func(how uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	ret := func(k uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
	}
	p := []unix.SockFilter{load(offsetArch), jump(unix.BPF_JEQ, auditArch, 1, 0), ret(unix.SECCOMP_RET_KILL_PROCESS), load(offsetNr)}
	for nr, k := range kinds() {
		switch {
		case k.flags >= 0:
			p = append(p, jump(unix.BPF_JEQ, uint32(nr), 0, 4), load(offsetArgs+8*uint32(k.flags)),
				jump(unix.BPF_JSET, openFlags, 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF), ret(unix.SECCOMP_RET_ALLOW))
		case k.request >= 0:
			all := requests()
			p = append(p, jump(unix.BPF_JEQ, uint32(nr), 0, uint8(1+2*len(all)+1)), load(offsetArgs+8*uint32(k.request)))
			for _, r := range all {
				p = append(p, jump(unix.BPF_JEQ, r, 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF))
			}
			p = append(p, ret(unix.SECCOMP_RET_ALLOW))
		default:
			p = append(p, jump(unix.BPF_JEQ, uint32(nr), 0, 1), ret(unix.SECCOMP_RET_USER_NOTIF))
		}
	}
	return append(p, ret(unix.SECCOMP_RET_ALLOW))
}
