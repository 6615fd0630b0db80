"""Mail to a stream of NATS JetStream: a message for each subject that the recipients come to."""
