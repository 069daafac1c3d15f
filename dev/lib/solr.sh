# shellcheck shell=bash
# A Solr server of our own, on the loopback address: Debian has no package of it, Maven has.

SOLR_HOME=$STATE/solr/home
SOLR_LIB=$STATE/solr/lib

solr_is_ours() {
  [[ -z ${CKAN_SOLR_URL:-} ]]
}

solr_fetch() {
  cmp -s "$DEV/solr/pom.xml" "$SOLR_LIB/pom.xml" && return
  say "fetching Solr"
  rm -rf "$SOLR_LIB" "$SOLR_LIB.new"
  mvn -q -B -f "$DEV/solr/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$SOLR_LIB.new" >"$STATE/log/maven.log" 2>&1 \
    || die "Maven could not get Solr, see $STATE/log/maven.log"
  cp "$DEV/solr/pom.xml" "$SOLR_LIB.new/"
  mv "$SOLR_LIB.new" "$SOLR_LIB"
}

solr_admin() {
  curl -sS --noproxy '*' --fail-with-body --max-time 60 \
    "http://127.0.0.1:$(port_of solr)/solr/admin/cores?wt=json&indent=false&$1"
}

solr_is_ready() {
  grep -qx ready "$STATE/log/solr.log" && is_up solr
}

solr_start() {
  is_up solr && return
  stop_process solr
  solr_fetch
  say "starting Solr"
  pick_port solr
  mkdir -p "$SOLR_HOME"
  cp "$DEV/solr/solr.xml" "$SOLR_HOME/"
  # Jetty's test mode is what makes the runner listen on 127.0.0.1 instead of on all interfaces.
  : >"$STATE/log/solr.log"
  setsid java -Xms128m -Xmx512m -Djetty.testMode=true -Dsolr.log.dir="$STATE/log" \
    -cp "$SOLR_LIB/*" "$DEV/solr/Solr.java" "$SOLR_HOME" "$(port_of solr)" \
    </dev/null >"$STATE/log/solr.log" 2>&1 &
  remember_process solr $!
  wait_for solr 120 solr_is_ready
}

solr_stop() {
  stop_process solr
}

solr_url() {
  echo "http://127.0.0.1:$(port_of solr)/solr/$1"
}

# A core with the schema of an installed CKAN; made again when that schema has changed.
solr_create_core() {
  local name=$1 schema=$2 folder=$SOLR_HOME/$1
  if cmp -s "$schema" "$folder/conf/schema.xml" \
    && cmp -s "$DEV/solr/solrconfig.xml" "$folder/conf/solrconfig.xml" \
    && [[ $(solr_admin "action=STATUS&core=$name") == *instanceDir* ]]; then
    return
  fi
  say "making the Solr core $name"
  if [[ -e $folder ]]; then
    solr_admin "action=UNLOAD&core=$name" >/dev/null 2>&1 || true
    rm -rf "$folder"
  fi
  mkdir -p "$folder/conf"
  cp "$schema" "$folder/conf/schema.xml"
  cp "$DEV/solr/solrconfig.xml" "$folder/conf/"
  touch "$folder"/conf/{synonyms,stopwords,protwords}.txt
  solr_admin "action=CREATE&name=$name" >"$STATE/log/solr-core.log" \
    || die "Solr refused the core $name, see $STATE/log/solr-core.log"
}
