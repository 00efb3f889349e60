"""The sections of the report: one module, and in it one public function, per section.

`tasks.report.html` names them all, and `templates/report.html` has their order and markup.
"""
