#!/bin/sh
# Runs in a live guest: makes the second disk a computer of its own, and has the
# verbs work on it. The kernel's file systems write to that disk as on a machine
# that was booted from it; only what runs is not from there.
#
#	guest.sh DISK IMAGES record
#	guest.sh DISK IMAGES next VERB FSCK
#
# IMAGES has the OCI layouts v1, v2 and so on. record begins with an empty disk and
# runs all verbs. next boots a disk as a power cut has left it, after fsck.fat if
# FSCK is yes, and runs one verb.
set -eu
disk=$1 images=$2
work=/run/crash
umask 022

# mark writes to a sector between partition table and first partition, past all
# caches and without a flush.
mark() {
	printf 'BOOTC-CRASH %-500s' "$*" | dd of="$disk" bs=512 seek=40 count=1 iflag=fullblock oflag=direct conv=notrunc status=none
}

during() { # VERB COMMAND...
	verb=$1
	shift
	sync
	mark begin "$verb"
	"$@"
	mark end "$verb"
	echo "GUEST: $verb is done"
}

# first prints the command line of the entry that the loader takes.
first() {
	mount -o ro "${disk}2" $work/esp
	entry=$(grep -l '^sort-key bootc-.*-0$' $work/esp/loader/entries/*.conf)
	sed -n 's/^options //p' "$entry"
	umount $work/esp
}

# on boots the disk: its root, then what the initramfs does, then what the
# system does.
on() {
	first > $work/cmdline
	mount -t ext4 "${disk}3" $work/physical
	/usr/lib/bootc/initramfs-setup setup-root --sysroot $work/physical --target $work/root --cmdline "$(cat $work/cmdline)"
	# The programs are the guest's: the image has none.
	mount --rbind /usr $work/root/usr
	mount -t proc proc $work/root/proc
	mount --bind $work/cmdline $work/root/proc/cmdline
	mount -t sysfs sysfs $work/root/sys
	mount --rbind /dev $work/root/dev
	mount -t tmpfs tmpfs $work/root/run
	mkdir $work/root/run/images
	mount --bind "$images" $work/root/run/images
	run bootc internals restore-staged
}

run() { env -i PATH=/usr/bin:/usr/sbin HOME=/run TMPDIR=/run chroot $work/root "$@"; }

off() {
	umount -R $work/root
	umount $work/physical
}

finalize() { run bootc composefs-finalize-staged; }

# owner changes /etc and /var, as people do.
owner() {
	echo "owner $1" > $work/root/etc/kept
	echo "owner $1" > "$work/root/etc/local-$1"
	rm -f $work/root/etc/app.d/03
	chmod 600 $work/root/etc/app.d/04
	echo "data $1" > "$work/root/var/lib/data-$1"
	sync
}

follow() { # VERSION: what the name is from now on
	rm -rf "$images/os"
	cp -r "$images/v$1" "$images/os"
}

record() {
	follow 1
	during install bootc install to-disk --source-imgref "oci:$images/os:latest" --target-transport oci --target-imgref /run/images/os:latest "$disk"
	during boot on
	owner 1
	follow 2
	during upgrade run bootc upgrade
	owner 2
	during finalize finalize
	during shutdown off
	during boot on
	owner 3
	during rollback run bootc rollback
	during shutdown off
	during boot on
	owner 4
	during switch run bootc switch --transport oci /run/images/v3:latest
	during finalize finalize
	during shutdown off
	during boot on
	owner 5
	follow 4
	during switch run bootc switch --transport oci /run/images/os:latest
	follow 5
	during upgrade run bootc upgrade
	during gc run bootc internals cleanup
	owner 6
	during rollback run bootc rollback
	during gc run bootc internals cleanup
	during rollback run bootc rollback
	during switch run bootc switch --transport oci /run/images/os:latest
	during finalize finalize
	during shutdown off
	during boot on
	during gc run bootc internals cleanup
	during shutdown off
	echo "GUEST: the end"
}

next() { # VERB FSCK
	blockdev --flushbufs "$disk" "${disk}2" "${disk}3"
	e2fsck -p "${disk}3" || [ $? = 1 ]
	if [ "$2" = yes ]; then
		fsck.fat -a "${disk}2" || [ $? = 1 ]
	fi
	on
	case $1 in
	upgrade)
		run bootc switch --transport oci /run/images/v6:latest
		finalize
		;;
	rollback) run bootc rollback ;;
	gc)
		run bootc internals cleanup
		run bootc internals composefs-gc --assert-no-op --prune-repo
		;;
	esac
	off
	blockdev --flushbufs "$disk"
	echo "GUEST: $1 is done"
}

mkdir -p $work/esp $work/physical $work/root
shift 2
"$@"
