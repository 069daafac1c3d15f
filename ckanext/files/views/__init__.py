"""What the extension adds to CKAN's pages."""
