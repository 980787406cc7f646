package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"haystream/sources"
)

// due does what is due at the time and returns when something will be next.
func (st *stream) due(ctx context.Context, now time.Time) (time.Time, error) {
	if st.heard {
		st.received, st.heard = now, false
		st.source.silence.Begin(now)
	}
	if at, ok := st.sendAt(); ok && !now.Before(at) {
		if err := st.send(ctx); err != nil {
			return now, err
		}
		now = time.Now()
	}
	if st.prune {
		st.forgetIDs(ctx)
	}
	select {
	case err := <-st.lookout.found:
		return now, err
	default:
	}
	if now.Sub(st.received) > st.silence {
		return now, fmt.Errorf("the server has said nothing for %s", st.silence)
	}
	st.wanted = st.source.wanted.Load()
	askAt, asks := st.batch.Ask()
	mustAsk := pglogrepl.LSN(st.wanted) > st.decoder.end || asks && !now.Before(askAt)
	if !now.Before(st.status) {
		if err := st.sendStatus(now, true); err != nil {
			return now, err
		}
	} else if mustAsk && !now.Before(st.ask) {
		if err := st.sendStatus(now, true); err != nil {
			return now, err
		}
		st.ask, st.askWait = now.Add(st.askWait), min(2*st.askWait, askLast)
	}
	if err := st.askForWord(now); err != nil {
		return now, err
	}
	next := earlier(earlier(st.status, st.received.Add(st.silence)), later(st.received, st.ping).Add(pingEvery))
	if st.durable() > st.told {
		if at := st.toldAt.Add(tellEvery); now.Before(at) {
			next = earlier(next, at)
		} else if err := st.sendStatus(now, false); err != nil {
			return now, err
		}
	}
	if mustAsk {
		next = earlier(next, st.ask)
	} else if asks {
		next = earlier(next, askAt)
	}
	if at, ok := st.sendAt(); ok {
		next = earlier(next, at)
	}
	return next, nil
}

// askForWord makes a server that has said nothing for a while say something, so
// that a connection that is dead is known for it.
func (st *stream) askForWord(now time.Time) error {
	if now.Before(later(st.received, st.ping).Add(pingEvery)) {
		return nil
	}
	due := st.status
	err := st.sendStatus(now, true)
	st.status, st.ping = due, now
	return err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// sendAt is when the batch is due; not ok: it holds nothing to send yet.
func (st *stream) sendAt() (at time.Time, ok bool) {
	return st.batch.Due(st.decoder.end != st.sent, st.source.wanted.Load() > uint64(st.sent))
}

// send hands the batch over. While out is full the server goes on hearing
// from the stream, and nothing is read.
func (st *stream) send(ctx context.Context) error {
	b := st.batch.Batch
	b.Checkpoint = sources.Checkpoint{
		Position: position{system: st.where.id, timeline: st.where.timeline, lsn: st.decoder.end}.String(),
		Version:  st.decoder.version,
	}
	if len(b.Changes) > 0 {
		b.CommitTime = st.decoder.commit
	}
	if n := len(b.Messages); n > 0 { // the last may be in no transaction
		b.CommitTime = later(st.decoder.commit, b.Messages[n-1].Time)
	}
	if err := st.handOver(ctx, st.batch.Take()); err != nil {
		return err
	}
	st.sent, st.askWait = st.decoder.end, askFirst
	return nil
}

func (st *stream) handOver(ctx context.Context, b *sources.Batch) error {
	select {
	case st.out <- b:
		return nil
	default:
	}
	st.source.silence.End()
	timer := time.NewTimer(time.Until(st.status))
	defer timer.Stop()
	for {
		select {
		case st.out <- b:
			st.received = time.Now() // the silence was ours
			st.source.silence.Begin(st.received)
			return nil
		case now := <-timer.C:
			if err := st.sendStatus(now, false); err != nil {
				return err
			}
			if err := st.lookWhileBlocked(ctx); err != nil {
				return err
			}
			timer.Reset(time.Until(st.status))
		case err := <-st.lookout.found:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errShutdown: a server that shuts down first waits until everything it has
// sent is confirmed, which may be never while the sink is down. The stream
// leaves, so that it does not hold the server up.
var errShutdown = errors.New("the server is shutting down")

// answer replies to a server that asks where the stream is. It asks once after
// it has heard nothing for half of its timeout, which the statuses prevent;
// asking on and on is how it shuts down.
func (st *stream) answer(now time.Time) error {
	if now.Sub(st.pingedLast) > shutdownGrace {
		st.pinged = now
	}
	st.pingedLast = now
	if now.Sub(st.pinged) > shutdownGrace && st.durable() < st.decoder.end {
		return errShutdown
	}
	st.status = earlier(st.status, now.Add(answerWait))
	return nil
}

// lookWhileBlocked finds out that the server shuts down while nothing is read from it.
func (st *stream) lookWhileBlocked(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err := st.source.use(ctx, func(*pgx.Conn) error { return nil })
	if sqlState(err) == codeCannotConnectNow {
		return errShutdown
	}
	return nil
}

// durable is what may be confirmed to the server.
func (st *stream) durable() pglogrepl.LSN {
	return min(pglogrepl.LSN(st.source.acked.Load()), st.decoder.end)
}

// sendStatus tells the server how far everything is held durably, and with
// reply asks how far its log goes. Flush and apply are what was acknowledged,
// which is always the end of a transaction, and never more than was read on
// this connection.
func (st *stream) sendStatus(now time.Time, reply bool) error {
	durable := st.durable()
	if err := st.conn.Conn().SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), st.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: st.decoder.end,
		WALFlushPosition: durable,
		WALApplyPosition: durable,
		ReplyRequested:   reply,
	})
	if err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	st.status = now.Add(st.statusWait)
	st.told, st.toldAt = durable, now
	return nil
}

// stop tells the server a last time what is durable, and leaves.
func (st *stream) stop() {
	_ = st.sendStatus(time.Now(), false)
	closeReplication(st.conn)
}

// wake ends a wait for the server, from any goroutine.
func (st *stream) wake() {
	_ = st.conn.Conn().SetReadDeadline(time.Unix(1, 0))
}

// want makes the stream hurry to a chunk's mark.
func (s *Source) want(mark pglogrepl.LSN) {
	if raise(&s.wanted, mark) {
		if st := s.stream.Load(); st != nil {
			st.wake()
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
