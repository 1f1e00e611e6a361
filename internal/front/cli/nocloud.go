package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/machine/custom"
)

// readSeed reads a seed for cloud-init: a directory with the files, or the file
// with the user data alone.
func readSeed(option, name string) (*custom.Seed, error) {
	info, err := os.Stat(name)
	if name == "-" || err == nil && !info.IsDir() {
		s := &custom.Seed{}
		s.UserData, err = readFile(option, name)
		return s, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	s := &custom.Seed{}
	wanted := map[string]*[]byte{
		"user-data": &s.UserData, "meta-data": &s.MetaData, "network-config": &s.NetworkConfig, "vendor-data": &s.VendorData,
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	for _, e := range entries {
		to := wanted[e.Name()]
		if to == nil {
			return nil, fmt.Errorf("%s: %s is not a file of a seed (%s)", option, filepath.Join(name, e.Name()), strings.Join(slices.Sorted(maps.Keys(wanted)), ", "))
		}
		if *to, err = readFile(option, filepath.Join(name, e.Name())); err != nil {
			return nil, err
		}
	}
	if s.UserData == nil {
		return nil, fmt.Errorf("%s: %s has no user-data", option, name)
	}
	return s, nil
}
