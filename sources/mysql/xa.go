package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"

	"haystream/sources"
)

// mostPrepared bounds the memory of prepared transactions, in bytes.
const mostPrepared = 32 << 20

// prepared holds the changes of transactions that were prepared (XA) and may
// still be rolled back: the log has their rows long before their commit.
type prepared struct {
	open *sources.Batch            // of the one that is being read; nil: none is
	held map[string]*sources.Batch // by its id, as the log writes it
}

func (p *prepared) begin() { p.open = &sources.Batch{Arena: &sources.Arena{}} }

// prepare ends a transaction that is prepared, or in one phase committed
// (MySQL source, XA_prepare_event).
func (st *stream) prepare(body []byte) error {
	const fixed = 1 + 4 + 4 + 4
	if len(body) < fixed {
		return errors.New("it is too short")
	}
	global, branch := int(binary.LittleEndian.Uint32(body[5:])), int(binary.LittleEndian.Uint32(body[9:]))
	if len(body) < fixed+global+branch {
		return errors.New("it is too short")
	}
	id := body[fixed:]
	name := fmt.Sprintf("X'%x',X'%x',%d", id[:global], id[global:global+branch], int32(binary.LittleEndian.Uint32(body[1:])))
	p := &st.prepared
	if p.open == nil {
		return st.closeTransaction()
	}
	if body[0] != 0 {
		if err := st.release(); err != nil {
			return err
		}
		return st.closeTransaction()
	}
	// The checkpoint stays in front of it.
	st.settle()
	if p.held == nil {
		p.held = map[string]*sources.Batch{}
	}
	p.held[name] = p.open
	p.open = nil
	return st.closeTransaction()
}

// room refuses what would take too much memory.
func (p *prepared) room() error {
	size := 0
	for _, b := range p.held {
		size += b.Size()
	}
	if p.open != nil {
		size += p.open.Size()
	}
	if size > mostPrepared {
		return fmt.Errorf("%w: transactions that are prepared and not committed hold more than %d bytes of changes", sources.ErrPositionLost, mostPrepared)
	}
	return nil
}

// decide commits or rolls back what was prepared.
func (st *stream) decide(name string, commit bool) error {
	p := &st.prepared
	batch, known := p.held[name]
	if !known {
		if !commit {
			return st.closeTransaction()
		}
		return fmt.Errorf("%w: the transaction %s was prepared before the stream began and is committed now", sources.ErrPositionLost, name)
	}
	delete(p.held, name)
	if commit {
		p.open = batch
		if err := st.release(); err != nil {
			return err
		}
	}
	return st.closeTransaction()
}

// release emits the changes of the open one.
func (st *stream) release() error {
	held := st.prepared.open
	st.prepared.open = nil
	for i := range held.Changes {
		c := held.Changes[i]
		c.Before, c.After = copyRow(st.batch.Arena, c.Before), copyRow(st.batch.Arena, c.After)
		if err := st.append(c); err != nil {
			return err
		}
	}
	return nil
}

func copyRow(a *sources.Arena, row sources.Row) sources.Row {
	if row.IsZero() {
		return row
	}
	a.StartRow(row.Len())
	for i := range row.Len() {
		a.Copy(row, i)
	}
	return a.EndRow()
}
