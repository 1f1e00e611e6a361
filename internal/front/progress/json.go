package progress

import (
	"encoding/json"
	"io"
	"time"

	"github.com/bootc-go/bootc"
)

// jsonInterval limits events that are not the last of their task to about
// five in a second.
const jsonInterval = 200 * time.Millisecond

// The lines of the protocol. All fields are always there; they stand in the
// order upstream writes them, which is that of the alphabet.
type (
	jsonStart struct {
		Type    string `json:"type"`
		Version string `json:"version"`
	}
	jsonBytes struct {
		Bytes       uint64             `json:"bytes"`
		BytesCached uint64             `json:"bytesCached"`
		BytesTotal  uint64             `json:"bytesTotal"`
		Description string             `json:"description"`
		ID          string             `json:"id"`
		Steps       uint64             `json:"steps"`
		StepsCached uint64             `json:"stepsCached"`
		StepsTotal  uint64             `json:"stepsTotal"`
		Subtasks    []jsonBytesSubtask `json:"subtasks"`
		Task        string             `json:"task"`
		Type        string             `json:"type"`
	}
	jsonBytesSubtask struct {
		Bytes       uint64 `json:"bytes"`
		BytesCached uint64 `json:"bytesCached"`
		BytesTotal  uint64 `json:"bytesTotal"`
		Description string `json:"description"`
		ID          string `json:"id"`
		Subtask     string `json:"subtask"`
	}
	jsonSteps struct {
		Description string     `json:"description"`
		ID          string     `json:"id"`
		Steps       uint64     `json:"steps"`
		StepsCached uint64     `json:"stepsCached"`
		StepsTotal  uint64     `json:"stepsTotal"`
		Subtasks    []struct{} `json:"subtasks"` // ours have none
		Task        string     `json:"task"`
		Type        string     `json:"type"`
	}
)

// jsonLines writes the protocol.
type jsonLines struct {
	sink
	now     func() time.Time
	last    time.Time // of the last line written
	pending any       // the newest event that the limit held back
	task    string    // the task and ID it belongs to
}

func newJSONLines(w io.Writer, now func() time.Time) *jsonLines {
	j := &jsonLines{sink: sink{w: w}, now: now}
	j.line(jsonStart{Type: "Start", Version: "0.1.0"})
	return j
}

func (j *jsonLines) event(e bootc.Event) {
	switch e := e.(type) {
	case bootc.Bytes:
		j.limited(e.Task+"\x00"+e.ID, bytesLine(e), e.Done)
	case bootc.Steps:
		j.limited(e.Task+"\x00"+e.ID, stepsLine(e), e.Done)
	}
}

// limited writes an event, or keeps it until the next one shows whether it was
// the last of its task.
func (j *jsonLines) limited(task string, event any, done bool) {
	if task != j.task {
		j.flush()
	}
	j.task, j.pending = task, event
	if done || j.last.IsZero() || j.now().Sub(j.last) >= jsonInterval {
		j.flush()
	}
}

func (j *jsonLines) flush() {
	if j.pending == nil {
		return
	}
	j.line(j.pending)
	j.last, j.pending = j.now(), nil
}

func (j *jsonLines) close() { j.flush() }

func (j *jsonLines) line(v any) {
	text, err := json.Marshal(v)
	if err != nil { // numbers and strings always marshal
		j.broken = true
		return
	}
	j.write(string(text) + "\n")
}

func bytesLine(e bootc.Bytes) jsonBytes {
	subtasks := make([]jsonBytesSubtask, len(e.Subtasks))
	for i, s := range e.Subtasks {
		subtasks[i] = jsonBytesSubtask{
			Bytes: s.Bytes, BytesCached: s.Cached, BytesTotal: s.Total,
			Description: s.Description, ID: s.ID, Subtask: s.Subtask,
		}
	}
	return jsonBytes{
		Bytes: e.Bytes, BytesCached: e.Cached, BytesTotal: e.Total,
		Description: e.Description, ID: e.ID,
		Steps: e.Steps, StepsCached: e.StepsCached, StepsTotal: e.StepsTotal,
		Subtasks: subtasks, Task: e.Task, Type: "ProgressBytes",
	}
}

func stepsLine(e bootc.Steps) jsonSteps {
	return jsonSteps{
		Description: e.Description, ID: e.ID,
		Steps: e.Steps, StepsCached: e.Cached, StepsTotal: e.Total,
		Subtasks: []struct{}{}, Task: e.Task, Type: "ProgressSteps",
	}
}
