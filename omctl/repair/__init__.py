"""Change events and data by an operator's decision. Other packages may import any module."""
