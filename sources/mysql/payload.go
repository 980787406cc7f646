package mysql

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the memory that a compressed transaction takes to inflate.
const maxWindow = 32 << 20

// payload takes a compressed transaction: its events, inflated one after the
// other, so that its size does not matter (MySQL source, Transaction_payload_event).
func (st *stream) payload(body []byte, began uint64) error {
	compressed, err := payloadOf(body)
	if err != nil {
		return err
	}
	inflated, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return fmt.Errorf("inflate transaction: %w", err)
	}
	defer inflated.Close()
	var event []byte
	for {
		if event, err = readInner(inflated, event[:0]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("inflate transaction: %w", err)
		}
		h, err := readHeader(event)
		if err != nil {
			return err
		}
		if err := st.content(h, event, began); err != nil {
			return fmt.Errorf("%s inside: %w", h.kind, err)
		}
	}
}

// payloadOf reads the fields in front of the compressed events.
func payloadOf(body []byte) ([]byte, error) {
	short := errors.New("it ends within its fields")
	for {
		if len(body) == 0 {
			return nil, short
		}
		field := body[0]
		if body = body[1:]; field == replication.OTW_PAYLOAD_HEADER_END_MARK {
			return body, nil
		}
		if len(body) == 0 || len(body) < 1+int(body[0]) {
			return nil, short
		}
		value := body[1 : 1+int(body[0])]
		body = body[1+len(value):]
		if field == replication.OTW_PAYLOAD_COMPRESSION_TYPE_FIELD && mysql.FixedLengthInt(value) != replication.ZSTD {
			return nil, fmt.Errorf("its compression %d is not known", mysql.FixedLengthInt(value))
		}
	}
}

// readInner appends the next event; io.EOF behind the last one.
func readInner(from io.Reader, event []byte) ([]byte, error) {
	event = append(event, make([]byte, headerSize)...)
	if _, err := io.ReadFull(from, event); err != nil {
		return event, err
	}
	size := int(binary.LittleEndian.Uint32(event[sizeAt:]))
	if size < headerSize {
		return event, errors.New("an event is shorter than its header")
	}
	// Grown as it is read: the size alone is not trusted with memory.
	rest := bytes.NewBuffer(event)
	if _, err := io.CopyN(rest, from, int64(size-headerSize)); err != nil {
		return event, fmt.Errorf("read event: %w", io.ErrUnexpectedEOF)
	}
	return rest.Bytes(), nil
}
