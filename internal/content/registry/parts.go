package registry

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"time"

	"go.podman.io/image/v5/types"
)

// errNoParts means that a blob comes as a whole or not at all.
var errNoParts = errors.New("no parts of a blob are given")

// partWait bounds the wait for the body of an answer that is there. One that is
// not a part is read up to the part by the library before it gives it.
const partWait = 10 * time.Second

// openRest opens what follows after the first offset bytes of a blob in a
// registry. The error is errNoParts if the library or the registry cannot.
//
// The library asks for parts of blobs to pull some images partially, with its
// logins and mirrors, but a type in that method is internal to it, so the method
// is called by its name. Where another version has none like it, blobs are
// fetched as a whole again; a test tells.
func openRest(ctx context.Context, src types.ImageSource, info types.BlobInfo, offset int64) (io.ReadCloser, error) {
	method := reflect.ValueOf(src).MethodByName("GetBlobAt")
	chunks, ok := restOf(method, uint64(offset))
	if !ok {
		return nil, errNoParts
	}
	out := method.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(info), chunks})
	if err, _ := out[2].Interface().(error); err != nil {
		return nil, err
	}
	streams, errs := out[0].Interface().(chan io.ReadCloser), out[1].Interface().(chan error)
	wait := time.NewTimer(partWait)
	defer wait.Stop()
	err := errNoParts
	select {
	case body, ok := <-streams:
		if ok && isAnswer(body) {
			return body, nil
		}
		if ok {
			go body.Close()
		}
	case e := <-errs:
		if e != nil {
			err = e
		}
	case <-wait.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	// The caller ends ctx, and with it what the library has under way.
	go func() {
		for body := range streams {
			body.Close()
		}
	}()
	go func() {
		for range errs {
		}
	}()
	return nil, err
}

// restOf makes the list of one part that GetBlobAt wants, if that is what
// method is.
func restOf(method reflect.Value, offset uint64) (chunks reflect.Value, ok bool) {
	if !method.IsValid() {
		return chunks, false
	}
	t := method.Type()
	if t.NumIn() != 3 || t.NumOut() != 3 || t.IsVariadic() ||
		t.In(0) != reflect.TypeFor[context.Context]() || t.In(1) != reflect.TypeFor[types.BlobInfo]() || t.In(2).Kind() != reflect.Slice ||
		t.Out(0) != reflect.TypeFor[chan io.ReadCloser]() || t.Out(1) != reflect.TypeFor[chan error]() || t.Out(2) != reflect.TypeFor[error]() {
		return chunks, false
	}
	part := t.In(2).Elem()
	if part.Kind() != reflect.Struct || part.NumField() != 2 {
		return chunks, false
	}
	chunks = reflect.MakeSlice(t.In(2), 1, 1)
	for name, value := range map[string]uint64{"Offset": offset, "Length": math.MaxUint64} { // up to the end
		f := chunks.Index(0).FieldByName(name)
		if !f.IsValid() || f.Kind() != reflect.Uint64 {
			return chunks, false
		}
		f.SetUint(value)
	}
	return chunks, true
}

// isAnswer reports whether a body is a part as the registry sent it. Where a
// registry sends all, the library cuts off the beginning, and loses bytes when
// that stream breaks.
func isAnswer(body io.ReadCloser) bool {
	t := reflect.TypeOf(body)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "net/http"
}
