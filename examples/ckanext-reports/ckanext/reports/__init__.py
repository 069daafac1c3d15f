"""Reports with attachments: an example of an extension that uses ckanext-files."""
