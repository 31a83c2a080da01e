; The hero while he is played: what the buttons do to his speeds.

.include "memory.inc"

; Speeds are in 1/16 pixel a frame, with 1/256 of that in x_speed_frac.
WALK_MAX  = $18
RUN_MAX   = $28
WALK_GAIN = $A0 ; a frame, in 1/256
RUN_GAIN  = $E0
FRICTION  = $C0
SKID      = $0180
RUN_LEFT  = 10 ; frames that he may run on after B
FAST      = $19 ; from this speed on a jump is a high one

.segment "CODE"

; Turns buttons into speeds.
control_player:
  lda buttons
  and #LEFT | RIGHT
  cmp #LEFT | RIGHT
  bne :+
  lda #0 ; a real cross cannot press both
: sta t7 ; where to
  lda obj_air
  bne @in_air
  lda t7
  beq :+
  sta facing
: lda buttons
  and #BUTTON_B
  beq :+
  lda #RUN_LEFT
  sta run_timer
: lda #WALK_MAX
  ldy run_timer
  beq @max
  dec run_timer
  lda #RUN_MAX
  bne @max ; always
@in_air: ; he keeps the speed he has, and does not get faster than his kind of jump
  jsr absolute_speed
  cmp #WALK_MAX + 1
  lda #WALK_MAX
  bcc @max
  lda #RUN_MAX
@max:
  sta t0
  lda t7
  beq @coast
  cmp #LEFT
  bne :+
  jsr mirror
: jsr accelerate
  lda t7
  cmp #LEFT
  bne @jump
  jsr mirror
  jmp @jump
@coast:
  lda obj_air
  bne @jump
  lda obj_x_speed
  bmi :+
  jsr brake
  jmp @jump
: jsr mirror
  jsr brake
  jsr mirror

@jump:
  lda obj_x_speed
  beq :++ ; the direction stays when he stops
  ldy #RIGHT
  asl
  bcc :+
  iny
: sty obj_dir
: lda obj_air
  bne @hold
  lda pressed
  and #BUTTON_A
  beq @hold
  jsr absolute_speed
  ldy #0
  cmp #FAST
  bcc :+
  iny
: lda jump_speed, y
  sta obj_y_speed
  lda jump_frac, y
  sta obj_y_frac
  lda jump_up, y
  sta gravity_up
  lda jump_down, y
  sta gravity_down
  lda #0
  sta obj_y_sub
  lda #AIR_JUMP
  sta obj_air
  sta rising
@hold:
  lda buttons
  and #BUTTON_A
  bne :+
  sta rising ; once let go, A lifts no more
: rts

; In: nothing. Out: A, how fast he is along x.
absolute_speed:
  lda obj_x_speed
  bpl :+
  eor #$FF
  clc
  adc #1
: rts

; Negates his speed along x, so that what follows need not know left from right.
mirror:
  lda #0
  sec
  sbc x_speed_frac
  sta x_speed_frac
  lda #0
  sbc obj_x_speed
  sta obj_x_speed
  rts

; Speeds him up to the right, up to t0.
accelerate:
  lda obj_x_speed
  bmi @turn
  cmp t0
  bcs @fast
  lda #WALK_GAIN
  ldy run_timer
  beq :+
  lda #RUN_GAIN
: clc
  adc x_speed_frac
  sta x_speed_frac
  bcc @done
  inc obj_x_speed
  lda obj_x_speed
  cmp t0
  bcc @done
@at_max:
  lda #0
  sta x_speed_frac
@done:
  rts
@fast:
  beq @at_max
  lda obj_air
  bne @done
  jsr brake ; he runs no more, but walks
  lda obj_x_speed
  cmp t0
  bcs @done
  lda t0
  sta obj_x_speed
  jmp @at_max
@turn: ; he slides the other way
  lda x_speed_frac
  clc
  adc #<SKID
  sta x_speed_frac
  lda obj_x_speed
  adc #>SKID
  sta obj_x_speed
  rts

; Slows him down, who moves to the right or stands.
brake:
  lda x_speed_frac
  sec
  sbc #FRICTION
  sta x_speed_frac
  bcs @done
  dec obj_x_speed
  bpl @done
  lda #0
  sta obj_x_speed
  sta x_speed_frac
@done:
  rts

.segment "RODATA"

; A jump: speed upwards and its fraction, gravity while A is held and he rises, else. Slow: 64
; pixels high, fast: 80.
jump_speed: .byte .lobyte(-4), .lobyte(-5)
jump_frac:  .byte $00, $40
jump_up:    .byte $20, $24
jump_down:  .byte $70, $80
