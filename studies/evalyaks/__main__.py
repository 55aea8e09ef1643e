from studies.evalyaks.study import main
from studies.launch import start

start("studies.evalyaks", main)
