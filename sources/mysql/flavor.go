package mysql

// A flavor is one of the two servers. Whatever differs between them is asked
// of it, so that the difference has one place.
type flavor uint8

const (
	mysqlServer flavor = iota + 1
	mariadbServer
)

func (f flavor) String() string {
	if f == mariadbServer {
		return "mariadb"
	}
	return "mysql"
}
