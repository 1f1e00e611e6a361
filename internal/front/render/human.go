package render

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bootc-go/bootc"
)

// Human writes the deployments as rows for people: staged, booted, rollback,
// others. A machine that bootc did not boot gets one line that says so.
func Human(w io.Writer, h *bootc.Host, verbose bool) error {
	var b bytes.Buffer
	slots := []struct {
		slot  bootc.Slot
		entry *bootc.BootEntry
	}{{bootc.Staged, h.Status.Staged}, {bootc.Booted, h.Status.Booted}, {bootc.Rollback, h.Status.Rollback}}
	for i := range h.Status.OtherDeployments {
		slots = append(slots, struct {
			slot  bootc.Slot
			entry *bootc.BootEntry
		}{bootc.Other, &h.Status.OtherDeployments[i]})
	}
	if h.Status.Booted == nil {
		b.WriteString("System is not deployed via bootc.\n")
		slots = nil
	}
	first := true
	for _, s := range slots {
		if s.entry == nil {
			continue
		}
		if !first {
			b.WriteByte('\n')
		}
		first = false
		r := rows{b: &b, verbose: verbose}
		r.entry(s.slot, s.entry, &h.Status)
	}
	if h.Status.Booted != nil && h.Status.RollbackQueued {
		b.WriteString("\nThe next boot is the rollback deployment.\n")
	}
	for _, n := range h.Status.Notices {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	for i, r := range h.Status.RejectedImages {
		if i < maxRejected || verbose {
			rejected(&b, r, verbose)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// maxRejected is how many rejected images are shown if not all are asked for.
const maxRejected = 3

// rejected writes why an image is not taken again.
func rejected(b *bytes.Buffer, r bootc.RejectedImage, verbose bool) {
	fmt.Fprintf(b, "\nNot taken again: %s\n", r.ImageDigest)
	if r.Image != "" {
		fmt.Fprintf(b, "  Image: %s\n", oneLine(r.Image))
	}
	fmt.Fprintf(b, "  Reason: %s on %s\n", oneLine(r.Reason), seconds(r.Time))
	if r.Detail != "" {
		fmt.Fprintf(b, "  Detail: %s\n", oneLine(r.Detail))
	}
	for _, boot := range r.Boots {
		for _, f := range boot.Failures {
			fmt.Fprintf(b, "  Boot %s: %s: %s\n", seconds(boot.Time), oneLine(f.Kind), oneLine(f.Text))
			if verbose {
				indented(b, f.Output)
			}
		}
		if verbose {
			indented(b, boot.Journal)
		}
	}
}

func indented(b *bytes.Buffer, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(b, "    %s\n", oneLine(strings.TrimRight(line, "\n")))
	}
}

// rows are lines "label: value", the labels right-aligned below the header's.
type rows struct {
	b       *bytes.Buffer
	width   int
	verbose bool
}

// header starts the rows of a deployment.
func (r *rows) header(slot bootc.Slot, what, value string) {
	prefix := map[bootc.Slot]string{
		bootc.Staged: "  Staged", bootc.Booted: "● Booted", bootc.Rollback: "  Rollback", bootc.Other: "   Other",
	}[slot]
	label := prefix + " " + what
	r.width = utf8.RuneCountInString(label)
	if value != "" {
		label += ": " + value
	}
	fmt.Fprintln(r.b, label)
}

func (r *rows) row(label, format string, args ...any) {
	fmt.Fprintf(r.b, "%*s: %s\n", r.width, label, fmt.Sprintf(format, args...))
}

func (r *rows) entry(slot bootc.Slot, e *bootc.BootEntry, st *bootc.HostStatus) {
	switch {
	case e.Image != nil:
		r.header(slot, "image", oneLine(e.Image.Image.Ref().String()))
		r.image(e)
	case e.Ostree != nil:
		r.header(slot, "ostree", "")
		r.row("Commit", "%s", e.Ostree.Checksum)
	case e.Composefs != nil:
		r.header(slot, "composefs", "")
		r.row("Commit", "%s", e.Composefs.Verity)
	default:
		r.header(slot, "state", "unknown")
		return
	}
	if e.Pinned {
		r.row("Pinned", "yes")
	}
	if u := e.CachedUpdate; u != nil {
		if u.Version != nil {
			r.row("UpdateVersion", "%s", withTime(*u.Version, u.Timestamp))
		} else {
			r.row("Update", "Available")
		}
		r.row("UpdateDigest", "%s", u.ImageDigest)
	}
	if slot == bootc.Booted && st.UsrOverlay != nil {
		r.row("/usr overlay", "%s", overlay(st.UsrOverlay))
	}
	if t := e.Trial; t != nil {
		r.row("Trial", "%s", trial(t))
	}
	if r.verbose {
		r.more(slot, e)
	}
	for _, path := range e.EtcConflicts {
		r.row("Conflict", "/etc/%s", oneLine(path))
	}
}

func (r *rows) image(e *bootc.BootEntry) {
	i := e.Image
	arch := ""
	if i.Architecture != "" {
		arch = " (" + i.Architecture + ")"
	}
	r.row("Digest", "%s%s", i.ImageDigest, arch)
	if e.Composefs != nil {
		r.row("Verity", "%s", e.Composefs.Verity)
	}
	switch {
	case i.Version != nil:
		r.row("Version", "%s", withTime(*i.Version, i.Timestamp))
	case i.Timestamp != nil:
		r.row("Timestamp", "%s", seconds(*i.Timestamp))
	}
}

// more writes the rows that only the verbose form has.
func (r *rows) more(slot bootc.Slot, e *bootc.BootEntry) {
	if o := e.Ostree; o != nil {
		r.row("StateRoot", "%s", o.Stateroot)
		r.row("Deploy serial", "%d", o.DeploySerial)
		r.row("Staged", "%s", yesNo(slot == bootc.Staged))
		if e.Image != nil {
			r.row("Commit", "%s", o.Checksum)
		}
	}
	if e.Image != nil && e.Image.Image.Signature != nil {
		r.row("Signature", "%s", signature(e.Image.Image.Signature))
	}
	r.row("Soft-reboot", "%s", yesNo(e.SoftRebootCapable))
	if e.Composefs != nil {
		enforced := "Enforced"
		if e.Composefs.MissingVerityAllowed {
			enforced = "Not Enforced"
		}
		r.row("FsVerity", "%s", enforced)
	}
	if slot == bootc.Staged {
		r.row("Download-only", "%s", yesNo(e.DownloadOnly))
	}
}

func trial(t *bootc.TrialStatus) string {
	switch t.TriesLeft {
	case 0:
		return "no tries left"
	case 1:
		return "not found good yet, one try left"
	}
	return fmt.Sprintf("not found good yet, %d tries left", t.TriesLeft)
}

func withTime(version string, t *time.Time) string {
	if t == nil {
		return oneLine(version)
	}
	return oneLine(version) + " (" + seconds(*t) + ")"
}

func seconds(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func signature(s *bootc.ImageSignature) string {
	switch s.Kind {
	case "":
		return "ostree-remote:" + s.OstreeRemote
	case "containerPolicy":
		return "container-policy"
	}
	return s.Kind
}

func overlay(o *bootc.FilesystemOverlay) string {
	access := "read-only"
	if o.AccessMode == "readWrite" {
		access = "read/write"
	}
	return o.Persistence + ", " + access
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// oneLine keeps text of an image or a file name from breaking the rows.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
