"""The operator: what an InboundSmtp becomes in Kubernetes."""
