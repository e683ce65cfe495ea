package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

var (
	endpoint  = flag.String("endpoint", "", "URL of our bundle endpoint; then federation is shown, and nothing else")
	bootstrap = flag.String("bootstrap", "", "file with the bundle to begin with")
)

// Reports every bundle that our endpoint gives.
type reporter struct {
	updates chan *spiffebundle.Bundle
	errors  chan error
}

func (r *reporter) NextRefresh(time.Duration) time.Duration { return 100 * time.Millisecond }
func (r *reporter) OnUpdate(bundle *spiffebundle.Bundle)    { r.updates <- bundle }
func (r *reporter) OnError(err error)                       { r.errors <- err }

// Follows our bundle endpoint over a rotation, then serves a bundle of its own.
func federate(ctx context.Context) error {
	ours := spiffeid.RequireTrustDomainFromString("example.com")
	first, err := spiffebundle.Load(ours, *bootstrap)
	if err != nil {
		return err
	}
	other := spiffeid.RequireFromString("spiffe://example.com/someone/else")
	if _, err := federation.FetchBundle(ctx, ours, *endpoint, federation.WithSPIFFEAuth(first, other)); err == nil {
		return fmt.Errorf("an endpoint with another identity was accepted")
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	watcher := &reporter{updates: make(chan *spiffebundle.Bundle, 8), errors: make(chan error, 8)}
	server := spiffeid.RequireFromString("spiffe://example.com/aims/server")
	go federation.WatchBundle(watching, ours, *endpoint, watcher, federation.WithSPIFFEAuth(first, server))
	for _, step := range []string{"bundle", "bundle-rotated"} {
		select {
		case bundle := <-watcher.updates:
			sequence, _ := bundle.SequenceNumber()
			hint, _ := bundle.RefreshHint()
			say(step, map[string]any{
				"sequence": sequence,
				"hint":     hint.Seconds(),
				"x509":     len(bundle.X509Authorities()),
				"jwt":      len(bundle.JWTAuthorities()),
				"wit":      len(bundle.WITAuthorities()),
			})
		case err := <-watcher.errors:
			return fmt.Errorf("WatchBundle: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("no bundle arrived")
		}
	}
	stop()
	return serveBundle(ctx)
}

// An endpoint of partner.example with go-spiffe's handler, until standard input ends.
func serveBundle(ctx context.Context) error {
	theirs := spiffeid.RequireTrustDomainFromString("partner.example")
	ca, svid, err := issue(theirs)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	bundle := spiffebundle.New(theirs)
	bundle.AddX509Authority(ca)
	if err := bundle.AddJWTAuthority("jwt-1", key.Public()); err != nil {
		return err
	}
	bundle.SetSequenceNumber(1)
	bundle.SetRefreshHint(90 * time.Second)
	handler, err := federation.NewHandler(theirs, bundle)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:   handler,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{svid}, MinVersion: tls.VersionTLS12},
	}
	go server.ServeTLS(listener, "", "")
	document, err := bundle.Marshal()
	if err != nil {
		return err
	}
	say("serving-bundle", map[string]any{"port": listener.Addr().(*net.TCPAddr).Port, "bundle": json.RawMessage(document)})
	os.Stdin.Read(make([]byte, 1))
	return server.Shutdown(ctx)
}

// A CA of a trust domain, and the SVID of its endpoint.
func issue(domain spiffeid.TrustDomain) (*x509.Certificate, tls.Certificate, error) {
	fail := func(err error) (*x509.Certificate, tls.Certificate, error) { return nil, tls.Certificate{}, err }
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "partner CA"},
		NotBefore:             now.Add(-time.Minute),
		NotAfter:              now.Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{domain.ID().URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		NotBefore:    template.NotBefore,
		NotAfter:     template.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:         []*url.URL{spiffeid.RequireFromPath(domain, "/bundles").URL()},
	}
	signed, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return fail(err)
	}
	return ca, tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}, nil
}
