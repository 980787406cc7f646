package mysql

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

const (
	packetHeader = 4         // size and sequence number
	mostPacket   = 1<<24 - 1 // bytes in one packet; what is as long goes on in the next one

	// packetBuffer is what one read from the network takes at most.
	packetBuffer = 64 << 10

	// keptPacket is the largest packet whose memory is kept when they are small again.
	keptPacket = 1 << 20
)

// A packetReader reads the packets of a connection (MySQL documentation,
// "MySQL Packets"). Those that the buffer holds are not copied.
type packetReader struct {
	*bufio.Reader

	taken int    // bytes at the buffer's front that were returned last
	large []byte // a packet that the buffer cannot hold
}

func newPacketReader(r io.Reader) packetReader {
	return packetReader{Reader: bufio.NewReaderSize(r, packetBuffer)}
}

// next returns a packet, valid until the next call. sequence is the number that
// it must have, and becomes that of the one after it.
func (p *packetReader) next(sequence *uint8) ([]byte, error) {
	if _, err := p.Discard(p.taken); err != nil {
		return nil, err
	}
	p.taken = 0
	size, err := p.header(sequence)
	if err != nil {
		return nil, err
	}
	if size <= p.Size() && size < mostPacket {
		p.taken = size
		return p.Peek(size)
	}
	if p.large = p.large[:0]; cap(p.large) > keptPacket && size <= keptPacket {
		p.large = nil
	}
	for {
		start := len(p.large)
		p.large = slices.Grow(p.large, size)[:start+size]
		if _, err := io.ReadFull(p.Reader, p.large[start:]); err != nil {
			return nil, err
		}
		if size < mostPacket {
			return p.large, nil
		}
		if size, err = p.header(sequence); err != nil {
			return nil, err
		}
	}
}

// header reads how long the packet is that follows.
func (p *packetReader) header(sequence *uint8) (size int, err error) {
	header, err := p.Peek(packetHeader)
	if err != nil {
		return 0, err
	}
	if header[3] != *sequence {
		return 0, fmt.Errorf("the server sent packet %d in place of %d", header[3], *sequence)
	}
	*sequence++
	size = int(header[0]) | int(header[1])<<8 | int(header[2])<<16
	_, err = p.Discard(packetHeader)
	return size, err
}
