package ndjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"haystream/sinks"
	"haystream/sinks/bulk"
)

// flushAt is how much is encoded before it is written, in bytes.
const flushAt = 256 << 10

// An output is what lines are appended to. Only a regular file is synced, and
// only there can a failed write be undone.
type output struct {
	w    io.Writer
	file *os.File // nil unless it is a regular file
	end  int64    // of the last whole group in the file
	buf  []byte
}

// openOutput opens the file for appending, without an action at its end of
// which a crash left only a part.
func openOutput(path string, stdout io.Writer) (*output, error) {
	if path == "-" {
		return &output{w: stdout}, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open output: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return &output{w: f}, nil
	}
	o := &output{w: f, file: f}
	if err == nil {
		o.end, err = wholeActions(f, info.Size())
	}
	if err == nil {
		err = o.undo()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open output: %w", err), f.Close())
	}
	return o, nil
}

// undo takes back what was written since the last whole group.
func (o *output) undo() error {
	if err := o.file.Truncate(o.end); err != nil {
		return err
	}
	_, err := o.file.Seek(o.end, io.SeekStart)
	return err
}

// write appends all actions of the batches and, in a regular file, waits until
// they are on the disk. After an error in a regular file nothing of them is there.
func (o *output) write(group []*sinks.Batch) error {
	err := o.append(group)
	if o.file == nil {
		return err
	}
	if err == nil {
		err = o.file.Sync()
	}
	var end int64
	if err == nil {
		end, err = o.file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return errors.Join(err, o.undo())
	}
	o.end = end
	return nil
}

func (o *output) append(group []*sinks.Batch) error {
	o.buf = o.buf[:0]
	for _, b := range group {
		for i := range b.Actions {
			if b.Actions[i].Op != sinks.OpReject {
				o.buf = bulk.AppendAction(o.buf, &b.Actions[i])
			}
			if len(o.buf) >= flushAt {
				if err := o.flush(); err != nil {
					return err
				}
			}
		}
	}
	return o.flush()
}

func (o *output) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}

func (o *output) close() error {
	if c, ok := o.w.(*os.File); ok && c != os.Stdout {
		return c.Close()
	}
	return nil
}

// wholeActions returns where the last whole action in the file ends. A line
// that begins like the metadata of an index action may be just that, with its
// document missing, or a document that looks like it: the lines of such a run
// at the end belong together two by two.
func wholeActions(f io.ReaderAt, size int64) (int64, error) {
	end, err := lineStart(f, size)
	if err != nil {
		return 0, err
	}
	last, run := end, 0
	for at := end; at > 0; run++ {
		start, err := lineStart(f, at-1)
		if err != nil {
			return 0, err
		}
		metadata := []byte(`{"index":{"_index":`)
		head := make([]byte, len(metadata))
		if n, err := f.ReadAt(head, start); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		} else if !bytes.Equal(head[:n], metadata) {
			break
		}
		if run == 0 {
			last = start
		}
		at = start
	}
	if run%2 == 1 {
		return last, nil
	}
	return end, nil
}

// lineStart returns where the line that holds the byte before end starts: after
// the last line break before end.
func lineStart(f io.ReaderAt, end int64) (int64, error) {
	chunk := make([]byte, 64<<10)
	for end > 0 {
		n := min(end, int64(len(chunk)))
		if _, err := f.ReadAt(chunk[:n], end-n); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(chunk[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}
