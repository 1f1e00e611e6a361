// Package render writes what a machine says about itself: a [bootc.Host] as
// canonical JSON, as YAML, and as rows for people. The three forms are those of
// upstream, so that scripts and eyes find what they know. It reads nothing from
// the machine.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bootc-go/bootc"
)

// JSON writes the document on one line, keys sorted, and a newline.
func JSON(w io.Writer, h *bootc.Host) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("internal error: reading the document back: %w", err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// YAML writes the document with its keys in the order of the schema.
func YAML(w io.Writer, h *bootc.Host) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := yamlOf(&b, text); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}
