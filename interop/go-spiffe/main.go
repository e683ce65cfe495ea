// Command go-spiffe uses the official SPIFFE library for Go against our Workload API and our mTLS, both ways, and
// prints one JSON line per step. It ends with status 1 at the first step that fails.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/exp/svid/witsvid"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

var (
	socket   = flag.String("socket", "", "Workload API address, unix:///...")
	service  = flag.String("service", "", "https URL of a TypeScript service")
	peer     = flag.String("peer", "", "its SPIFFE ID, and that of the TypeScript client")
	audience = flag.String("audience", "https://api.example.com", "audience of the JWT-SVID")
)

func main() {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	show := run
	if *endpoint != "" {
		show = federate
	}
	if err := show(ctx); err != nil {
		say("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}

func say(step string, facts map[string]any) {
	facts["step"] = step
	line, _ := json.Marshal(facts)
	fmt.Println(string(line))
}

func run(ctx context.Context) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(*socket))
	if err != nil {
		return err
	}
	defer client.Close()

	svid, err := client.FetchX509SVID(ctx)
	if err != nil {
		return fmt.Errorf("FetchX509SVID: %w", err)
	}
	say("x509-svid", map[string]any{"id": svid.ID.String(), "certificates": len(svid.Certificates)})

	bundles, err := client.FetchX509Bundles(ctx)
	if err != nil {
		return fmt.Errorf("FetchX509Bundles: %w", err)
	}
	say("x509-bundles", map[string]any{"bundles": bundles.Len()})

	token, err := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: *audience})
	if err != nil {
		return fmt.Errorf("FetchJWTSVID: %w", err)
	}
	jwtBundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return fmt.Errorf("FetchJWTBundles: %w", err)
	}
	if _, err := jwtsvid.ParseAndValidate(token.Marshal(), jwtBundles, []string{*audience}); err != nil {
		return fmt.Errorf("go-spiffe refuses our JWT-SVID: %w", err)
	}
	if _, err := client.ValidateJWTSVID(ctx, token.Marshal(), *audience); err != nil {
		return fmt.Errorf("ValidateJWTSVID: %w", err)
	}
	if _, err := client.ValidateJWTSVID(ctx, token.Marshal(), "https://other.example.com"); err == nil {
		return fmt.Errorf("ValidateJWTSVID accepts another audience")
	}
	say("jwt-svid", map[string]any{"id": token.ID.String()})

	wit, err := client.FetchWITSVID(ctx, "")
	if err != nil {
		return fmt.Errorf("FetchWITSVID: %w", err)
	}
	witBundles, err := client.FetchWITBundles(ctx)
	if err != nil {
		return fmt.Errorf("FetchWITBundles: %w", err)
	}
	if _, err := witsvid.ParseAndValidate(wit.Marshal(), witBundles); err != nil {
		return fmt.Errorf("go-spiffe refuses our WIT-SVID: %w", err)
	}
	if _, err := client.FetchWITSVID(ctx, "spiffe://example.com/someone/else"); err == nil {
		return fmt.Errorf("FetchWITSVID gives the identity of another")
	}
	say("wit-svid", map[string]any{"id": wit.ID.String(), "hasKey": wit.PrivateKey != nil})

	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClient(client))
	if err != nil {
		return fmt.Errorf("NewX509Source: %w", err)
	}
	defer source.Close()
	before, err := source.GetX509SVID()
	if err != nil {
		return err
	}
	say("watching", map[string]any{"serial": before.Certificates[0].SerialNumber.Text(16)})
	for {
		select {
		case <-source.Updated():
		case <-ctx.Done():
			return fmt.Errorf("no rotation arrived")
		}
		after, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		if after.Certificates[0].SerialNumber.Cmp(before.Certificates[0].SerialNumber) != 0 {
			say("rotated", map[string]any{"serial": after.Certificates[0].SerialNumber.Text(16)})
			break
		}
	}

	id, err := spiffeid.FromString(*peer)
	if err != nil {
		return err
	}
	if err := callService(ctx, source, id); err != nil {
		return err
	}
	return serveOnce(ctx, source, id)
}

// As a client of a TypeScript service; and it does not take another identity for the one it expects.
func callService(ctx context.Context, source *workloadapi.X509Source, id spiffeid.ID) error {
	get := func(expected spiffeid.ID) (string, error) {
		transport := &http.Transport{TLSClientConfig: tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected))}
		defer transport.CloseIdleConnections()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, *service, nil)
		if err != nil {
			return "", err
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	if _, err := get(spiffeid.RequireFromString("spiffe://example.com/someone/else")); err == nil {
		return fmt.Errorf("a server with another identity was accepted")
	}
	caller, err := get(id)
	if err != nil {
		return fmt.Errorf("mTLS as client: %w", err)
	}
	say("mtls-client", map[string]any{"caller": caller})
	return nil
}

// As a server that a TypeScript client calls once.
func serveOnce(ctx context.Context, source *workloadapi.X509Source, id spiffeid.ID) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	called := make(chan string, 1)
	server := &http.Server{
		TLSConfig: tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(id)),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "hello from go-spiffe")
			called <- r.TLS.PeerCertificates[0].URIs[0].String()
		}),
	}
	go server.ServeTLS(listener, "", "")
	say("serving", map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	select {
	case caller := <-called:
		say("mtls-server", map[string]any{"caller": caller})
	case <-ctx.Done():
		return fmt.Errorf("nobody called")
	}
	return server.Shutdown(ctx)
}
