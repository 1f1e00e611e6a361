package progress_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/front/progress"
)

func TestJSONLines(t *testing.T) {
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{JSON: &out, Now: c.now})
	upgrade(c, p.Send)
	p.Close()
	golden(t, "upgrade.jsonl", out.String())
	conform(t, out.String())
}

// TestJSONAsUpstream replays a recorded stream of upstream's: the same events
// give the same bytes.
func TestJSONAsUpstream(t *testing.T) {
	recorded, err := os.ReadFile("testdata/upstream.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{JSON: &out, Now: c.now})
	e := bootc.Bytes{Task: "pulling", ID: "composefs-pull", Description: "Pulling composefs image", StepsCached: 1}
	for _, steps := range []uint64{0, 1, 1} {
		e.Steps = steps
		p.Send(e)
		c.advance(time.Second)
	}
	p.Close()
	if diff := cmp.Diff(string(recorded), out.String()); diff != "" {
		t.Errorf("(-upstream +ours):\n%s", diff)
	}
	conform(t, string(recorded))
}

func TestJSONRate(t *testing.T) {
	var out strings.Builder
	c := newClock()
	p := progress.New(progress.Options{JSON: &out, Now: c.now})
	for i := range 1000 {
		p.Send(bootc.Bytes{Task: "pulling", ID: "a", Bytes: uint64(i)})
		c.advance(time.Millisecond)
	}
	p.Send(bootc.Steps{Task: "staging", ID: "b", Steps: 1}) // another task: the end of the first was held back
	p.Send(bootc.Steps{Task: "staging", ID: "b", Steps: 2, Done: true})
	p.Send(bootc.Steps{Task: "cleaning", ID: "c", Steps: 1})
	p.Send(bootc.Steps{Task: "cleaning", ID: "c", Steps: 2}) // only Close tells that it is the last
	p.Close()
	var bytes, steps []uint64
	for line := range strings.Lines(out.String()) {
		var v struct {
			Type         string
			Bytes, Steps uint64
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		switch v.Type {
		case "ProgressBytes":
			bytes = append(bytes, v.Bytes)
		case "ProgressSteps":
			steps = append(steps, v.Steps)
		}
	}
	if want := []uint64{0, 200, 400, 600, 800, 999}; !slices.Equal(bytes, want) {
		t.Errorf("bytes %v, want %v", bytes, want)
	}
	if n := len(steps); n < 2 || steps[n-1] != 2 || !slices.Contains(steps[:n-1], 2) {
		t.Errorf("steps %v: the last of both tasks must be there", steps)
	}
}

// conform checks each line against the schema's lists of required and known
// fields.
func conform(t *testing.T, stream string) {
	t.Helper()
	var schema struct {
		Defs  map[string]object `json:"$defs"`
		OneOf []object          `json:"oneOf"`
	}
	data, err := os.ReadFile("testdata/progress-v0.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	first := true
	for line := range strings.Lines(stream) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if first && v["type"] != "Start" {
			t.Errorf("first line is %q, want a Start", line)
		}
		first = false
		i := slices.IndexFunc(schema.OneOf, func(o object) bool { return o.Properties["type"].Const == v["type"] })
		if i < 0 {
			t.Errorf("unknown type in %q", line)
			continue
		}
		schema.OneOf[i].check(t, v)
		subtasks, _ := v["subtasks"].([]any)
		for _, s := range subtasks {
			o := schema.Defs["SubTaskBytes"]
			o.check(t, s.(map[string]any))
		}
	}
}

type object struct {
	Properties map[string]struct{ Const, Type string }
	Required   []string
}

func (o object) check(t *testing.T, v map[string]any) {
	t.Helper()
	for _, name := range o.Required {
		if _, ok := v[name]; !ok {
			t.Errorf("field %q is missing in %v", name, v)
		}
	}
	for name, value := range v {
		kind := map[string]bool{}
		switch value := value.(type) {
		case string:
			kind["string"] = true
		case float64:
			kind["integer"] = value >= 0
		case []any:
			kind["array"] = true
		}
		if want := o.Properties[name].Type; !kind[want] {
			t.Errorf("field %q = %v, the schema wants type %q", name, value, want)
		}
	}
}
