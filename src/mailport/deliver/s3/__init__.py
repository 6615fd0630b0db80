"""Mail to a bucket of an object store that speaks S3: an object a message."""
