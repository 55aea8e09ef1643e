from studies.janus.study import main
from studies.launch import start

start("studies.janus", main)
