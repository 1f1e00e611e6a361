package blueprint

// refusedOutside are the keys beside customizations that are not honoured, each
// with the reason.
func refusedOutside() map[string]string {
	const software = "software is installed when the image is built"
	return map[string]string{
		"packages":        software,
		"modules":         software,
		"enabled_modules": software,
		"groups":          software,
		"minimal":         software,
		"containers":      "containers are added when the image is built",
		"distro":          "the image says which system it is",
		"architecture":    "--arch says it",
		"blueprint":       "customizations has to be at the top",
	}
}

// refused are the keys of customizations that are not honoured.
func refused() map[string]string {
	const (
		inImage   = "it is set up when the image is built"
		installer = "it is for installers of another kind"
	)
	return map[string]string{
		"hostname":           "a file /etc/hostname in customizations.files does the same",
		"timezone":           inImage,
		"locale":             "files /etc/locale.conf and /etc/vconsole.conf in customizations.files do the same",
		"sshkey":             "key in customizations.user does the same",
		"firewall":           inImage,
		"services":           inImage,
		"fips":               inImage,
		"openscap":           inImage,
		"repositories":       inImage,
		"rpm":                inImage,
		"dnf":                inImage,
		"rhsm":               inImage,
		"cacerts":            "a file in customizations.files, and in the image what takes it, do the same",
		"containers-storage": inImage,
		"firstboot":          "a unit in customizations.files does the same",
		"sshd":               "a file in /etc/ssh/sshd_config.d in customizations.files does the same",
		"bootloader":         "the boot loader is the image's",
		"ignition":           "boot entries cannot ask for Ignition in the first boot alone",
		"fdo":                installer,
		"iso":                installer,
		"partitioning_mode":  "partitions are always plain",
	}
}
