"""Help developers of programs that send or receive events. Other packages may import any module."""
