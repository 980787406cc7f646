//go:build !unix

package postgres

func (c *gatherConn) lowWater(int) {}
