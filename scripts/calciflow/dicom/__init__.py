"""Reading what a hospital sends: files, headers, series, geometry and pixels."""
