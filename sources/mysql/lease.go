package mysql

import (
	"context"
	"fmt"
	"hash/crc32"
	"time"

	"haystream/sources"
)

// lockWait is how long the lock of a daemon that has just gone is waited for:
// the server notices when it next has something to say.
const lockWait = 2 * time.Second

// lockName is that of the server's lock which the one daemon of a name holds.
func lockName(slot string) string {
	name := "haystream/" + slot
	const longest = 64 // characters that the server takes
	if len(name) > longest {
		name = fmt.Sprintf("%s/%08x", name[:longest-9], crc32.ChecksumIEEE([]byte(slot)))
	}
	return name
}

// acquire opens the connection that streams the log, with the lock that says
// whose turn it is. Both end with it.
func (s *Source) acquire(ctx context.Context) (*conn, error) {
	c, err := s.endpoint.connect(ctx, 0)
	if err != nil {
		return nil, err
	}
	lock := literal(lockName(s.cfg.Slot))
	row, err := c.one(ctx, fmt.Sprintf("SELECT GET_LOCK(%s, %d), IS_USED_LOCK(%[1]s)", lock, lockWait/time.Second))
	if err == nil && row[0] != "1" {
		err = fmt.Errorf("%w: connection %s of the server holds the lock %s", sources.ErrBusy, row[1], lockName(s.cfg.Slot))
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("take the lock: %w", err)
	}
	return c, nil
}

// hold makes sure that this source has the lock, and keeps its connection for Stream.
func (s *Source) hold(ctx context.Context) error {
	c := s.takeHeld()
	if c != nil && c.ping(ctx) != nil {
		c.close()
		c = nil
	}
	if c == nil {
		var err error
		if c, err = s.acquire(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.held = c
	s.mu.Unlock()
	return nil
}

// takeHeld returns the connection that Prepare has left; nil where there is none.
func (s *Source) takeHeld() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.held
	s.held = nil
	return c
}

// release ends the server's side of a stream, which would hold the lock until
// it notices that nobody reads any more.
func (s *Source) release(c *conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	id := c.GetConnectionID()
	c.close()
	err := s.use(ctx, func(other *conn) error { return other.exec(ctx, fmt.Sprintf("KILL %d", id)) })
	if err != nil {
		s.log.Debug().Err(err).Msg("cannot end the stream's connection on the server")
	}
}

// Evict ends the connection that holds the lock. A user may end its own
// connections without a privilege.
func (s *Source) Evict(ctx context.Context) error {
	err := s.use(ctx, func(c *conn) error {
		row, err := c.one(ctx, "SELECT COALESCE(IS_USED_LOCK("+literal(lockName(s.cfg.Slot))+"), 0)")
		if err != nil || row[0] == "0" {
			return err
		}
		return c.exec(ctx, "KILL "+row[0])
	})
	if err != nil {
		return fmt.Errorf("end the connection that holds the lock %s: %w", lockName(s.cfg.Slot), err)
	}
	return nil
}

// Remove drops nothing, as Prepare makes nothing that stays; it only makes sure
// that no daemon runs.
func (s *Source) Remove(ctx context.Context, _ bool) ([]string, error) {
	if c := s.takeHeld(); c != nil {
		c.close()
	}
	c, err := s.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("remove from source: %w", err)
	}
	c.close()
	return nil, nil
}
