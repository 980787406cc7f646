package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haystream/internal/servers"
	"haystream/replicator/config"
)

// screenshots names a folder that the pictures are kept in, to be looked at.
var screenshots = os.Getenv("HAYSTREAM_SCREENSHOTS")

// TestPageInBrowser looks at every scene with Chromium: what must be there is in the document
// that its scripts have left, and the page is live.
func TestPageInBrowser(t *testing.T) {
	browser := servers.Chromium(t)
	desk := servers.View{Width: 1280, Height: 1400}
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			_, url := s.open(t, config.HTTPConfig{})
			dom, err := browser.DOM(t.Context(), url, desk)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range append(s.views, `<span id="live" class="good">live</span>`) {
				if !strings.Contains(dom, want) {
					t.Errorf("the page lacks %q", want)
				}
			}
			if t.Failed() {
				t.Log(dom)
			}
			if screenshots == "" {
				return
			}
			for suffix, view := range map[string]servers.View{
				"": desk, "-dark": {Width: 1280, Height: 1400, Dark: true}, "-phone": {Width: 500, Height: 2200}, "-wall": {Width: 2560, Height: 1440, Dark: true},
			} {
				if err := browser.Screenshot(t.Context(), url, filepath.Join(screenshots, s.name+suffix+".png"), view); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
