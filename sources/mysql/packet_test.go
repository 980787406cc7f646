package mysql

import (
	"bytes"
	"testing"
	"testing/iotest"
)

// appendPacket appends a packet as the network has it.
func appendPacket(dst []byte, sequence byte, payload []byte) []byte {
	size := len(payload)
	return append(append(dst, byte(size), byte(size>>8), byte(size>>16), sequence), payload...)
}

// TestPackets: packets come whole, whatever their size is and however they arrive.
func TestPackets(t *testing.T) {
	small, edge, large := []byte("small"), bytes.Repeat([]byte("e"), packetBuffer), bytes.Repeat([]byte("large"), packetBuffer)
	longest, rest := bytes.Repeat([]byte("m"), mostPacket), []byte("its end")
	var wire []byte
	for n, payload := range [][]byte{small, edge, large, nil, longest, rest, small, longest, nil, small} {
		wire = appendPacket(wire, byte(n), payload)
	}
	want := [][]byte{small, edge, large, nil, append(bytes.Clone(longest), rest...), small, longest, small}
	p := newPacketReader(iotest.HalfReader(bytes.NewReader(wire)))
	var sequence uint8
	for n, payload := range want {
		got, err := p.next(&sequence)
		if err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("packet %d has %d bytes, want %d: %v", n, len(got), len(payload), err)
		}
	}
	if _, err := p.next(&sequence); err == nil {
		t.Error("there is a packet behind the last one")
	}
}

func TestPacketsOutOfOrder(t *testing.T) {
	p := newPacketReader(bytes.NewReader(appendPacket(nil, 3, []byte("late"))))
	sequence := uint8(2)
	if _, err := p.next(&sequence); err == nil {
		t.Error("packet 3 was taken for packet 2")
	}
	for _, cut := range []int{1, 3, 6} {
		wire := appendPacket(nil, 0, []byte("short"))
		p, sequence := newPacketReader(bytes.NewReader(wire[:len(wire)-cut])), uint8(0)
		if got, err := p.next(&sequence); err == nil {
			t.Errorf("got %q of a packet that ends too early", got)
		}
	}
}
