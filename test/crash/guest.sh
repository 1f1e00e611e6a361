#!/bin/sh
# Runs in a live guest: makes the second disk a computer of its own, and has the
# verbs work on it. The kernel's file systems write to that disk as on a machine
# that was booted from it; only what runs is not from there.
#
#	guest.sh DISK IMAGES install VERSION
#	guest.sh DISK IMAGES boot STEP...
#	guest.sh DISK IMAGES next VERB FSCK
#
# IMAGES has the OCI layouts v1, v2 and so on. install begins with an empty disk.
# boot is one boot of what is on it, in which some things happen, to a clean
# shutdown. next boots a disk as a power cut has left it, after fsck.fat if FSCK is
# yes, and runs one verb.
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

# first prints the name of the entry that the loader takes: by sort-key, those
# without tries left last.
first() {
	for place in 0 1 2; do
		for entry in $(grep -l "^sort-key bootc-.*-$place\$" $work/esp/loader/entries/*.conf); do
			case $entry in
			*+0*) ;;
			*) echo "$entry" && return ;;
			esac
		done
	done
}

# on boots the disk: its root, then what the initramfs does, then what the
# system does.
on() {
	mount -o ro "${disk}2" $work/esp
	sed -n 's/^options //p' "$(first)" > $work/cmdline
	umount $work/esp
	mount -t ext4 "${disk}3" $work/physical
	/usr/lib/bootc/initramfs-setup setup-root --sysroot $work/physical --target $work/root --cmdline "$(cat $work/cmdline)"
	# The programs are the guest's: the image has none.
	mount --rbind /usr $work/root/usr
	mount -t proc proc $work/root/proc
	mount --bind $work/cmdline $work/root/proc/cmdline
	# Each boot has its ID.
	cat /proc/sys/kernel/random/uuid > $work/boot_id
	mount --bind $work/boot_id $work/root/proc/sys/kernel/random/boot_id
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

# owner changes /etc and /var, as people do.
owner() {
	echo "owner $1" > $work/root/etc/kept
	echo "owner $1" > "$work/root/etc/local-$1"
	rm -f $work/root/etc/app.d/03
	chmod 600 $work/root/etc/app.d/04
	echo "data $1" > "$work/root/var/lib/data-$1"
	sync
}

# The owner's check of health, which fails until it is taken away.
breaks() {
	mkdir -p $work/root/etc/greenboot/check/required.d
	printf '#!/bin/sh\necho no answer\nexit 1\n' > $work/root/etc/greenboot/check/required.d/10-web.sh
	chmod 755 $work/root/etc/greenboot/check/required.d/10-web.sh
	sync
}

mends() {
	rm -f $work/root/etc/greenboot/check/required.d/10-web.sh
	sync
}

fails() {
	! run bootc internals health check
}

follow() { # VERSION: what the name is from now on
	ln -sfn "v$1" "$images/os"
}

# calm keeps udev from reading the partition table again whenever something that has
# written to the disk closes it: the partitions are not there for a moment.
calm() {
	systemctl stop systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udevd.service
}

install() {
	follow "$1"
	during install bootc install to-disk --source-imgref "oci:$images/os:latest" --target-transport oci --target-imgref /run/images/os:latest "$disk"
	calm
}

boot() {
	blockdev --flushbufs "$disk" "${disk}2" "${disk}3"
	mark loader
	during boot on
	for step; do
		arg=${step#*=}
		case $step in
		begin) during begin run bootc internals health begin ;;
		bless)
			run bootc internals health check
			during bless run bootc internals health bless
			;;
		fail) during fail fails ;;
		owner=*) owner "$arg" ;;
		breaks) breaks ;;
		mends) mends ;;
		upgrade=*)
			follow "$arg"
			during upgrade run bootc upgrade
			;;
		switch=*) during switch run bootc switch --transport oci "/run/images/v$arg:latest" ;;
		follow=*)
			follow "$arg"
			during switch run bootc switch --transport oci /run/images/os:latest
			;;
		rollback) during rollback run bootc rollback ;;
		finalize) during finalize run bootc composefs-finalize-staged ;;
		gc) during gc run bootc internals cleanup ;;
		*) echo "GUEST: no step $step" && exit 2 ;;
		esac
	done
	during shutdown off
	blockdev --flushbufs "$disk" "${disk}2" "${disk}3"
}

next() { # VERB FSCK
	# The disk was empty when the guest came up.
	[ -b "${disk}3" ] || { calm && blockdev --rereadpt "$disk"; }
	blockdev --flushbufs "$disk" "${disk}2" "${disk}3"
	e2fsck -p "${disk}3" || [ $? = 1 ]
	if [ "$2" = yes ]; then
		fsck.fat -a "${disk}2" || [ $? = 1 ]
	fi
	on
	run bootc internals health begin
	run bootc internals health bless
	case $1 in
	upgrade)
		run bootc switch --transport oci "/run/images/v$(cat "$images/next"):latest"
		run bootc composefs-finalize-staged
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
