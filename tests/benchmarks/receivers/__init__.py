"""What one would write instead: the applications that the service is measured against."""
