package health

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// greenbootConf is greenboot's configuration, in the syntax of bash.
const greenbootConf = "etc/greenboot/greenboot.conf"

// readDisabled reads the names of the checks that greenboot is not to run. Of several
// assignments the last counts, as in bash.
//
// Source: https://github.com/fedora-iot/greenboot-rs, etc/greenboot/greenboot.conf.
func readDisabled(root fs.FS) ([]string, error) {
	data, err := fs.ReadFile(root, greenbootConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	disabled, err := parseDisabled(string(data))
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", greenbootConf, err)
	}
	return disabled, nil
}

func parseDisabled(text string) (disabled []string, err error) {
	const key = "DISABLED_HEALTHCHECKS="
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), key)
		if !ok {
			continue
		}
		list, ok := strings.CutPrefix(value, "(")
		if !ok {
			return nil, fmt.Errorf("%s%s is no list in parentheses", key, value)
		}
		// It may go on in the next lines.
		list, _, ok = strings.Cut(strings.Join(append([]string{list}, lines[i+1:]...), "\n"), ")")
		if !ok {
			return nil, fmt.Errorf("the list of %s has no end", key)
		}
		disabled = nil
		for _, name := range strings.Fields(list) {
			disabled = append(disabled, strings.Trim(name, `"'`))
		}
	}
	return disabled, nil
}
