#!/bin/bash
# dracut module: the root of a bootc deployment.
#
# The root partition itself is mounted at /sysroot as always, by
# systemd-gpt-auto-generator or from root=; bootc-root-setup.service then puts
# the deployment in its place. For a root that is on a disc, or came over the
# network, bootc-attach-medium@.service makes the block device.

# Only when it is asked for: dracut --add bootc, or add_dracutmodules+=" bootc ".
check() {
    require_binaries /usr/lib/bootc/initramfs-setup || return 1
    return 255
}

depends() {
    echo systemd-initrd
    return 0
}

# The image may boot on any machine, so nothing here looks at the build host.
installkernel() {
    hostonly='' instmods erofs overlay loop efivarfs
    hostonly='' instmods -s ext4 btrfs xfs
    # What a medium may be in.
    hostonly='' instmods -s cdrom sr_mod sd_mod virtio_scsi ahci ata_piix usb_storage uas
    # A boot that hangs in the initramfs is reset, if systemd knows the watchdog.
    hostonly='' instmods -s =drivers/watchdog
    # fs-verity with SHA-512, where the kernel has the hash as a module.
    hostonly='' instmods -s sha512 crypto-sha512
}

install() {
    inst_simple /usr/lib/bootc/initramfs-setup
    if [[ -e /usr/lib/composefs/setup-root-conf.toml ]]; then
        inst_simple /usr/lib/composefs/setup-root-conf.toml
    fi
    inst_multiple -o fsck fsck.ext4 e2fsck
    # shellcheck disable=SC2154
    inst_simple "$systemdsystemunitdir/bootc-root-setup.service"
    inst_simple "$systemdsystemunitdir/bootc-attach-medium@.service"
    # A boot on trial does not wait for somebody at an emergency shell.
    local unit
    for unit in emergency dracut-emergency; do
        mkdir -p "$initdir/etc/systemd/system/$unit.service.d"
        printf '[Service]\nExecStartPre=-/usr/lib/bootc/initramfs-setup emergency\n' \
            > "$initdir/etc/systemd/system/$unit.service.d/50-bootc.conf"
    done
    # shellcheck disable=SC2154
    $SYSTEMCTL -q --root "$initdir" add-wants initrd-root-fs.target bootc-root-setup.service
    $SYSTEMCTL -q --root "$initdir" add-wants initrd-root-device.target bootc-attach-medium@bootc-root.img.service
    # Which disc is in a drive is asked of cdrom_id.
    inst_rules 60-cdrom_id.rules
    inst_multiple -o "${udevdir:-/usr/lib/udev}/cdrom_id"
    # shellcheck disable=SC2154
    inst_simple "$moddir/61-bootc-medium.rules" /usr/lib/udev/rules.d/61-bootc-medium.rules
}
