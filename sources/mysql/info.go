package mysql

import (
	"context"
	"fmt"

	"haystream/sources"
)

// Info connects and says what the server is.
func (s *Source) Info(ctx context.Context) (sources.Info, error) {
	info := sources.Info{Kind: s.endpoint.flavor.String(), Address: s.endpoint.address()}
	err := s.use(ctx, func(c *conn) (err error) {
		info.Version = c.version
		info.Identity, err = identity(ctx, c)
		return err
	})
	if err != nil {
		return sources.Info{}, fmt.Errorf("identify server: %w", err)
	}
	return info, nil
}

// historyIdentity is that of a server whose positions are sets of GTIDs. They
// name the servers that wrote the history, and a failover goes on to another
// server of the same history, so that nothing of one server may be in it.
// Whether a server has the history is asked with the position itself.
const historyIdentity = "gtid"

// identity is what must stay the same for a position to mean anything. Without
// GTIDs a position names a file and an offset, which are one server's own.
func identity(ctx context.Context, c *conn) (string, error) {
	if c.flavor == mariadbServer {
		return historyIdentity, nil
	}
	row, err := c.one(ctx, "SELECT @@GLOBAL.gtid_mode, @@server_uuid")
	if err != nil {
		return "", err
	}
	if row[0] == "ON" {
		return historyIdentity, nil
	}
	return row[1], nil
}
