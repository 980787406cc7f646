package endtoend

import "testing"

// TestPlacesOutsideTheKey names documents by columns that the log leaves out of
// a row's old image, and changes them, and the key too.
func TestPlacesOutsideTheKey(t *testing.T) {
	w := newWorld(t)
	w.exec("CREATE TABLE page (id int PRIMARY KEY, slug text, owner int, title text)",
		"INSERT INTO page SELECT n, 'slug-' || n, n % 3, 'page ' || n FROM generate_series(1, 50) n")
	w.config("\n  NAME:\n    table: page\n    id: \"{{ .slug }}\"\n    fields: {title: {}, owner: {}}\n")
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.exec("UPDATE page SET slug = 'moved-' || id WHERE id < 10", "UPDATE page SET id = id + 1000 WHERE id BETWEEN 5 AND 15",
		"DELETE FROM page WHERE id = 20", "DELETE FROM page WHERE id = 1006", "UPDATE page SET slug = 'slug-20', id = 20 WHERE id = 30")
	w.settle()
	w.kill()
	w.exec("UPDATE page SET slug = 'slug-1' WHERE id = 40", "DELETE FROM page WHERE id = 41")
	w.start()
	w.settle()
	w.compare("SELECT slug, json_build_object('title', title, 'owner', owner)::text FROM page")
}
