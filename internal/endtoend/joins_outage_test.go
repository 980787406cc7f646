package endtoend

import (
	"fmt"
	"testing"

	"haystream/internal/servers"
)

// TestSinkAwayHoldsNoLog: while the sink is away the row store takes what is
// written, so that the slot moves on, over a kill too; afterwards each document
// that was changed many times is rendered about once.
func TestSinkAwayHoldsNoLog(t *testing.T) {
	es := servers.Test(t, search.Spec)
	w := worldOn(t, postgres.Get(t), es)
	joined(w, 10, 100)
	if err := es.Kill(); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		w.exec(fmt.Sprintf("UPDATE author SET name = 'name %d'", n), fmt.Sprintf("UPDATE note SET author_id = %d WHERE id %% 9 = 1", 1+n%10))
	}
	w.exec("DELETE FROM note WHERE id = 7")
	end := w.logEnd()
	w.eventually("the slot moves on", func() bool { return w.passed(end) })
	w.kill()
	if err := es.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	was := w.physical()
	w.start()
	w.eventually("the daemon is ready", w.ready)
	w.settle()
	w.compare(writtenDocuments)
	if now := w.physical(); now != was {
		t.Errorf("%s was built anew as %s", was, now)
	}
	if n := w.written(); n > 400 {
		t.Errorf("%d documents were written for 100", n)
	}
}
