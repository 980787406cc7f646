package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Remove drops the slot and the publication, or says that it would. What is
// not there, or belongs to someone else, stays out of the list.
func (s *Source) Remove(ctx context.Context, dryRun bool) ([]string, error) {
	var lines []string
	err := s.use(ctx, func(conn *pgx.Conn) error {
		sl, err := readSlot(ctx, conn, s.cfg.Slot)
		if err != nil {
			return err
		}
		if sl != nil && sl.usable(s.cfg.Slot, s.config.Database) == nil {
			if err := s.free(ctx, conn, sl); err != nil {
				return err
			}
			if !dryRun {
				if err := s.dropSlot(ctx, conn); err != nil {
					return err
				}
			}
			lines = append(lines, "replication slot "+s.cfg.Slot)
		}
		p, err := readPublication(ctx, conn, s.cfg.Publication)
		if err != nil {
			return err
		}
		if p != nil && p.Owned {
			if !dryRun {
				if _, err := conn.Exec(ctx, "DROP PUBLICATION "+quote(s.cfg.Publication)); err != nil {
					return fmt.Errorf("drop publication: %w", err)
				}
			}
			lines = append(lines, "publication "+s.cfg.Publication)
		}
		return nil
	})
	if err != nil {
		return lines, fmt.Errorf("remove from source: %w", err)
	}
	return lines, nil
}
