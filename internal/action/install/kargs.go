package install

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/installconfig"
	"github.com/bootc-go/bootc/internal/machine/bootable"
)

// options is the kernel command line of the first entry: rw, the arguments of the
// image's installation defaults, the installer's, composefs=, those of kargs.d.
// What the defaults delete is left out of the image's own.
func (p *Plan) options(c *installconfig.Config, system *bootable.System, id bootc.ID) string {
	mark := ""
	if p.Options.AllowMissingVerity {
		mark = "?"
	}
	words := without(append([]string{"rw"}, split(c.Kargs)...), c.KargDeletes)
	if p.Options.DisableSELinux {
		words = append(words, "selinux=0")
	}
	words = append(words, p.Options.Kargs...)
	words = append(words, "composefs="+mark+string(id))
	return strings.Join(append(words, without(system.Kargs, c.KargDeletes)...), " ")
}

// split cuts texts into single arguments.
func split(texts []string) []string {
	var all []string
	for _, p := range cmdline.Split(strings.Join(texts, " ")) {
		all = append(all, p.Text)
	}
	return all
}

// without leaves out arguments that are equal to some of the others.
func without(kargs, deletes []string) []string {
	return slices.DeleteFunc(slices.Clone(kargs), func(k string) bool { return has(strings.Join(deletes, " "), k) })
}

// has reports whether a command line has an argument.
func has(line, karg string) bool {
	for _, k := range cmdline.Split(karg) {
		if slices.ContainsFunc(cmdline.Split(line), k.Equal) {
			return true
		}
	}
	return false
}

// checkSealedOptions refuses options that would change the command line of a
// unified kernel image.
func (p *Plan) checkSealedOptions() error {
	option := ""
	switch {
	case len(p.Options.Kargs) > 0:
		option = "--karg and customizations.kernel.append"
	case p.Options.DisableSELinux:
		option = "--disable-selinux"
	default:
		return nil
	}
	return fmt.Errorf("%s cannot be used with a unified kernel image, whose command line is fixed", option)
}

// checkSealed refuses installation defaults that the command line of a unified
// kernel image does not have.
func checkSealed(c *installconfig.Config, line string) error {
	for _, k := range without(split(c.Kargs), c.KargDeletes) {
		if !has(line, k) {
			return fmt.Errorf("the installation defaults of the image add the kernel argument %q, which the fixed command line of its unified kernel image does not have", k)
		}
	}
	for _, k := range split(c.KargDeletes) {
		if has(line, k) {
			return fmt.Errorf("the installation defaults of the image delete the kernel argument %q, which the fixed command line of its unified kernel image has", k)
		}
	}
	return nil
}

func checkKargs(kargs []string) error {
	for _, k := range kargs {
		if err := cmdline.CheckLocal(k); err != nil {
			return err
		}
	}
	return nil
}
