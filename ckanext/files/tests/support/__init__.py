"""What the tests need: plugins, servers, workers, and looks into PostgreSQL and Solr."""
