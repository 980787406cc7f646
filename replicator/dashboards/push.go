package dashboards

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"haystream/internal/conf"
)

// PushOptions say where dashboards are put, and as whom.
type PushOptions struct {
	// URL of the target, with the path that it is served under: for a space of Kibana …/s/NAME, for a workspace of
	// OpenSearch Dashboards …/w/ID. User and password may be in it. ?security_tenant=NAME is a tenant of OpenSearch Dashboards.
	URL conf.Secret

	User     string
	Password conf.Secret
	APIKey   conf.Secret // of Kibana, or a service account's token of Grafana; instead of a user

	Force  bool // overwrite what somebody has edited
	Server SearchServer
}

// Push puts the boards where the options say, and tells on out what it did. Objects that somebody
// has edited since the last push stay as they are, and are the error, unless the options force it.
func (b *Boards) Push(ctx context.Context, target string, options PushOptions, out io.Writer) error {
	c, err := newClient(target, options)
	if err != nil {
		return err
	}
	p := &push{client: c, boards: b, force: options.Force, out: out}
	switch target {
	case Kibana:
		err = p.kibana(ctx)
	case Grafana:
		err = p.grafana(ctx, options.Server)
	default:
		err = p.savedObjects(ctx)
	}
	if err == nil && len(p.edited) > 0 {
		err = fmt.Errorf("left as somebody has edited or made it: %s; --force overwrites", strings.Join(p.edited, ", "))
	}
	return err
}

// A push is one run of Push.
type push struct {
	*client
	boards *Boards
	force  bool
	out    io.Writer
	edited []string // what was left alone
}

func (p *push) tell(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.out, format+"\n", args...); err != nil {
		return fmt.Errorf("print what was pushed: %w", err)
	}
	return nil
}

// keep reports whether an object is to be left as it is, and notes it.
func (p *push) keep(edited bool, what string) bool {
	if edited && !p.force {
		p.edited = append(p.edited, what)
		return true
	}
	return false
}

// A mark in an object's description has a digest of the rest of the object as the target gave it
// back after the push. Another digest is an edit. While a push is on its way the mark says so, and
// whatever is found with it is overwritten.
const unfinished = "unfinished"

var markForm = regexp.MustCompile(` ?\[haystream:([0-9a-f]{16}|` + unfinished + `)\]$`)

func marked(description, mark string) string {
	return strings.TrimPrefix(description+" [haystream:"+mark+"]", " ")
}

// unmark takes the mark off a description; both are empty where there is none.
func unmark(description string) (rest, mark string) {
	found := markForm.FindStringSubmatch(description)
	if found == nil {
		return description, ""
	}
	return strings.TrimSuffix(description, found[0]), found[1]
}

// digest is one of an object's content, whose description is told apart from it.
func digest(content any, description string) (string, error) {
	body, err := json.Marshal([]any{description, content}) // maps in the order of their keys
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8]), nil
}

// isEdited reports whether an object with that description is another one than was pushed.
func isEdited(content any, description string) (bool, error) {
	rest, mark := unmark(description)
	if mark == unfinished {
		return false, nil
	}
	is, err := digest(content, rest)
	return is != mark, err
}

// A slot is where the target has one object.
type slot struct {
	what, title string

	// read gives what is there, without its description.
	read func() (content object, description string, err error)

	// put writes the object with a mark in its description.
	put func(mark string) error

	// taken looks at what the target has made of the object; nil where it takes it as it is.
	taken func(content object) error
}

// replace puts an object in its slot: first with a mark that the push is on its way, then with the
// digest of what the target has made of it.
func (p *push) replace(s slot) error {
	content, description, err := s.read()
	if err != nil && !isStatus(err, http.StatusNotFound) {
		return err
	}
	if err == nil {
		edited, err := isEdited(content, description)
		if err != nil {
			return err
		}
		if p.keep(edited, s.what) {
			return nil
		}
	}
	if err := s.put(unfinished); err != nil {
		return err
	}
	if content, description, err = s.read(); err != nil {
		return err
	}
	if s.taken != nil {
		if err := s.taken(content); err != nil {
			return err
		}
	}
	rest, _ := unmark(description)
	mark, err := digest(content, rest)
	if err != nil {
		return err
	}
	if err := s.put(mark); err != nil {
		return err
	}
	return p.tell("%s: %s", s.what, s.title)
}

// A client talks to the target.
type client struct {
	base   *url.URL
	header http.Header
	http   http.Client
}

const (
	requestTimeout = time.Minute
	maxAnswer      = 256 << 20
)

// Address is where to push.
func (o PushOptions) Address() (*url.URL, error) {
	base, err := url.Parse(o.URL.Reveal())
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("--push must be an address like https://kibana:5601") // the reason would repeat the password
	}
	return base, nil
}

func newClient(target string, options PushOptions) (*client, error) {
	base, err := options.Address()
	if err != nil {
		return nil, err
	}
	c := &client{base: base, header: http.Header{}, http: http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a login page is no answer
	}}
	if base.User != nil {
		options.User = base.User.Username()
		password, _ := base.User.Password()
		options.Password = conf.Secret(password)
	}
	switch {
	case options.APIKey != "" && target == OpenSearch:
		return nil, errors.New("OpenSearch Dashboards takes no API key; give a user and a password")
	case options.APIKey != "" && base.User == nil && target == Grafana:
		c.header.Set("Authorization", "Bearer "+options.APIKey.Reveal())
	case options.APIKey != "" && base.User == nil:
		c.header.Set("Authorization", "ApiKey "+options.APIKey.Reveal())
	case options.User != "":
		request := http.Request{Header: c.header}
		request.SetBasicAuth(options.User, options.Password.Reveal())
	}
	switch target {
	case Kibana, Kibana7:
		c.header.Set("Kbn-Xsrf", "true")
	case OpenSearch:
		c.header.Set("Osd-Xsrf", "true")
		if tenant := base.Query().Get("security_tenant"); tenant != "" {
			c.header.Set("Securitytenant", tenant)
		}
	}
	if target == Kibana {
		c.header.Set("Elastic-Api-Version", "2023-10-31")
	}
	c.base = &url.URL{Scheme: base.Scheme, Host: base.Host, Path: strings.TrimSuffix(base.Path, "/")}
	return c, nil
}

// An answerError is an answer that is not the wanted one.
type answerError struct {
	request string
	status  int
	body    []byte
}

func (e *answerError) Error() string {
	why := strings.TrimSpace(string(e.body))
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(e.body, &said) == nil && said.Message != "" {
		why = said.Message
	}
	const most = 500
	if len(why) > most {
		why = strings.ToValidUTF8(why[:most], "") + "…"
	}
	advice := ""
	switch {
	case e.status >= 300 && e.status < 400:
		why, advice = "", "; look whether the address has the path that it is served under, and give a user and a password or an API key"
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		advice = "; give a user and a password, or an API key, who may write dashboards"
	}
	if why != "" {
		why = ": " + why
	}
	return fmt.Sprintf("%s was answered with %d%s%s", e.request, e.status, why, advice)
}

// isStatus reports whether err is an answer with that status.
func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && e.status == status
}

// json sends a value and reads the answer into another; either may be nil.
func (c *client) json(ctx context.Context, method, path string, query url.Values, send, receive any) error {
	var body []byte
	kind := ""
	if send != nil {
		var err error
		if body, err = json.Marshal(send); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		kind = "application/json"
	}
	answer, err := c.do(ctx, method, path, query, kind, body)
	if err != nil || receive == nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	if err := decoder.Decode(receive); err != nil {
		return fmt.Errorf("%s %s: read answer: %w", method, c.base.Host+path, err)
	}
	return nil
}

func (c *client) do(ctx context.Context, method, path string, query url.Values, kind string, body []byte) ([]byte, error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header = c.header.Clone()
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("push: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read answer: %w", method, u, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, &answerError{method + " " + u.String(), response.StatusCode, answer}
	}
	return answer, nil
}
