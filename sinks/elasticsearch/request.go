package elasticsearch

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"haystream/internal/fault"
	"haystream/sinks"
	"haystream/sinks/bulk"
)

const (
	// bulkPath keeps one item per action in the answer, in order, and leaves
	// out what nobody reads.
	bulkPath = "/_bulk?filter_path=items.*.status,items.*.result,items.*.error.type,items.*.error.reason,items.*.failure_store"

	// bulkTimeout is how long a request may take. The server waits for a
	// missing shard for one minute.
	bulkTimeout = 90 * time.Second

	// largeRequest is when the server is asked before a body is sent.
	largeRequest = 8 << 20
)

// A request is a bulk request that is built, sent and read in memory that is
// used again. It refers to its actions' bodies where they lie, so that only the
// metadata lines, or the compressed whole, take memory of their own.
type request struct {
	client  *client
	timeout time.Duration
	gzip    *gzip.Writer // nil: not compressed
	packed  packed
	meta    []byte
	pieces  [][]byte
	size    int  // of all pieces
	broke   bool // the last one broke off
	scanner scanner
	answers []answer
}

func newRequest(c *client, compression bool) *request {
	r := &request{client: c, timeout: bulkTimeout}
	if compression {
		r.gzip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid one
	}
	return r
}

// packed is a compressed body, in pieces: one that grew would be copied, and
// would keep the size of the largest.
type packed struct {
	pieces [][]byte
	spare  [][]byte
	size   int
}

const (
	packedPiece = 64 << 10
	keptPieces  = 16 // for the next body
)

// Write implements io.Writer. It cannot fail.
func (p *packed) Write(data []byte) (int, error) {
	p.size += len(data)
	for rest := data; len(rest) > 0; {
		last := len(p.pieces) - 1
		if last < 0 || len(p.pieces[last]) == packedPiece {
			p.pieces, last = append(p.pieces, p.piece()), last+1
		}
		n := min(packedPiece-len(p.pieces[last]), len(rest))
		p.pieces[last], rest = append(p.pieces[last], rest[:n]...), rest[n:]
	}
	return len(data), nil
}

// piece is an empty one.
func (p *packed) piece() []byte {
	last := len(p.spare) - 1
	if last < 0 {
		return make([]byte, 0, packedPiece)
	}
	piece := p.spare[last]
	p.spare = p.spare[:last]
	return piece
}

// reset empties the body, and keeps some of its memory.
func (p *packed) reset() {
	for _, piece := range p.pieces {
		if len(p.spare) < keptPieces {
			p.spare = append(p.spare, piece[:0])
		}
	}
	clear(p.pieces)
	p.pieces, p.size = p.pieces[:0], 0
}

// A payload is one request's body. The transport may go on reading it after the
// answer is there; Close ends that and so gives the memory back.
type payload struct {
	mu     sync.Mutex
	src    io.Reader
	closed bool
}

func (p *payload) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	fault.Point("bulk under way")
	return p.src.Read(b)
}

func (p *payload) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return nil
}

// build takes actions from the front of work until the request would pass
// maxBytes or most, but always one, and returns how many, and how many of them
// are sent: rejected ones need no sending.
func (r *request) build(work []entry, maxBytes, most int) (n, sent int) {
	r.meta, r.pieces, r.size = r.meta[:0], r.pieces[:0], 0
	r.packed.reset()
	if r.gzip != nil {
		r.gzip.Reset(&r.packed)
	}
	for n < len(work) && n < most {
		a := work[n].action
		if a.Op == sinks.OpReject {
			n++
			continue
		}
		start := len(r.meta)
		r.meta = bulk.AppendLine(r.meta, a)
		line := r.meta[start:len(r.meta):len(r.meta)]
		size := len(line)
		if a.Op == sinks.OpIndex {
			size += len(a.Body) + len(newline)
		}
		if r.size+size > maxBytes && r.size > 0 {
			break
		}
		r.add(line)
		if a.Op == sinks.OpIndex {
			r.add(a.Body)
			r.add(newline)
		}
		r.size += size
		n++
		sent++
	}
	return n, sent
}

var newline = []byte{'\n'}

// add adds to the body. Compressed, a piece takes no memory of its own.
func (r *request) add(piece []byte) {
	if r.gzip == nil {
		r.pieces = append(r.pieces, piece)
		return
	}
	_, _ = r.gzip.Write(piece) // into memory: it cannot fail
	r.meta = r.meta[:0]
}

// send sends what was built and returns an answer for each of the n actions in
// it. An error means that nothing is known about any of them; it is an
// *apiError where the server answered the request as a whole.
func (r *request) send(ctx context.Context, n int) ([]answer, error) {
	within, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(within, http.MethodPost, bulkPath, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	body, size := r.body()
	if r.gzip != nil {
		req.Header.Set("Content-Encoding", "gzip")
	}
	// A server that takes no such body answers and hangs up, and the answer may be
	// lost in that: for some servers when they were asked before, for others when
	// they were not. So the other way is tried after a request that broke off.
	if size > largeRequest != r.broke {
		req.Header.Set("Expect", "100-continue")
	}
	payload := &payload{src: body}
	req.Body, req.ContentLength = payload, size
	defer func() {
		_ = payload.Close() // it cannot fail
		r.packed.reset()
	}()
	res, err := r.client.perform(ctx, req)
	r.broke = err != nil && !r.broke
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := r.read(res, n); err != nil {
		return nil, err
	}
	return r.answers, nil
}

// body is what was built, which it uses up, and its size in bytes.
func (r *request) body() (io.Reader, int64) {
	if r.gzip == nil {
		pieces := net.Buffers(r.pieces)
		return &pieces, int64(r.size)
	}
	_ = r.gzip.Close() // into memory: it cannot fail
	pieces := net.Buffers(slices.Clone(r.packed.pieces))
	return &pieces, int64(r.packed.size)
}

// read takes the response apart and leaves the connection fit for the next request.
func (r *request) read(res *http.Response, n int) (err error) {
	if res.StatusCode != http.StatusOK {
		return readError(res)
	}
	if r.answers, err = r.scanner.answers(res.Body, r.answers[:0], n); err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, res.Body, maxError)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
