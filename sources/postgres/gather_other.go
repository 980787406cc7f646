//go:build !unix

package postgres

func (c *gatherConn) poll() int { return 0 }

func (c *gatherConn) lowWater(int) {}
