package progress

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestPipeNobodyReads: a reader that stays away ends the output, not the work.
// (In the package for the limit, which is 10 s outside.)
func TestPipeNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	p := &pipe{fd: int(w.Fd()), limit: time.Millisecond}
	if _, err := p.Write(make([]byte, 1<<20)); err == nil || !strings.Contains(err.Error(), "nobody reads") {
		t.Errorf("Write = %v, want an error that nobody reads", err)
	}
}
