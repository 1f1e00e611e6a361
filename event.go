package bootc

// A Progress receives the events of long work, those of one task in order. A
// [Notice] may come from another goroutine meanwhile. A nil Progress is allowed
// wherever one is taken: see [Progress.Send].
type Progress func(Event)

// Send passes an event on; a nil Progress drops it.
func (p Progress) Send(e Event) {
	if p != nil {
		p(e)
	}
}

// An Event is one piece of progress: a [Notice], [Bytes] or [Steps].
type Event interface{ event() }

// A Notice is a line for people.
type Notice struct{ Text string }

// Bytes tells how far a task is that moves bytes. All counts are totals since
// the task began; Total is 0 while it is unknown.
//
// The fields are those of upstream's progress protocol (ProgressBytes).
type Bytes struct {
	Task        string // "pulling"
	ID          string // the same for all events of one task
	Description string
	Bytes       uint64 // transferred now, compressed
	Cached      uint64 // already here before
	Total       uint64 // to be transferred, Cached not included
	Steps       uint64 // layers done
	StepsCached uint64 // layers already here
	StepsTotal  uint64
	Subtasks    []BytesSubtask // layers under way
	Done        bool           // the last event of this task
}

// BytesSubtask is one part of a [Bytes] task: a layer.
type BytesSubtask struct {
	Subtask     string // "composefs_layer"
	ID          string // the layer's digest
	Description string
	Bytes       uint64
	Cached      uint64
	Total       uint64
}

// Steps tells how far a task is that counts steps.
//
// The fields are those of upstream's progress protocol (ProgressSteps).
type Steps struct {
	Task        string // "staging", "importing", "installing"
	ID          string
	Description string // the step under way, for people
	Steps       uint64
	Cached      uint64
	Total       uint64
	Done        bool // the last event of this task
}

func (Notice) event() {}
func (Bytes) event()  {}
func (Steps) event()  {}
