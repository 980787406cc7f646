package builds

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"haystream/sinks"
)

// A mute sink keeps the connection and answers nothing, whatever it is asked. Each save takes it two requests.
type mute struct{ sinks.Checkpoints }

func (mute) LoadCheckpoint(context.Context, string) ([]byte, sinks.Token, error) {
	return nil, "", nil
}

func (mute) SaveCheckpoint(ctx context.Context, _ string, _ []byte, _ sinks.Token) (sinks.Token, error) {
	var err error
	for range 2 {
		wait, release := context.WithTimeout(ctx, time.Minute)
		<-wait.Done()
		release()
		err = errors.Join(err, context.Cause(wait))
	}
	return "", err
}

// TestSaveEnds: a sink that answers nothing does not hold the checkpoint step for the time of each of its requests: the log
// that the row store holds can be let go.
func TestSaveEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := LoadState(t.Context(), mute{}, "blog", "me", time.Now, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err = st.Save(t.Context()); !errors.Is(err, errSilent) {
			t.Errorf("the save ends with %v", err)
		}
		if took := time.Since(began); took != LeaseLife {
			t.Errorf("it took %v", took)
		}
		if !st.Due() || st.Leased() || st.SavingFor(time.Now()) != 0 {
			t.Error("what was not saved counts as saved")
		}
	})
}
