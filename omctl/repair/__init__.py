"""Change events and data at an operator's request. Other packages may import any module."""
